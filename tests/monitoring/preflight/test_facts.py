from __future__ import annotations

from tecken.monitoring.preflight.facts import Facts, facts, read, together
from tecken.redisclient import client
from tests.conftest import IMAGES
from tests.support.cluster import RedisCluster

NODE = read({"run_id": "a", "redis_version": "7.2.4", "role": "master", "maxmemory_policy": "allkeys-lru"})


def node(**values: object) -> Facts:
    return NODE._replace(**{"maxmemory": 100, "hits": 3, **values})  # type: ignore[arg-type]


def test_nodes_of_a_cluster_are_added_up() -> None:
    told = together([node(run_id="a"), node(run_id="b", hits=4)])
    assert (told.run_id, told.maxmemory, told.hits, told.policy) == ("a,b", 200, 7, "allkeys-lru")


def test_of_nodes_that_differ_the_worst_counts() -> None:
    told = together(
        [node(), node(maxmemory=0, policy="noeviction", role="slave", loading=True, version=(7,))]
    )
    assert (told.maxmemory, told.policy, told.role, told.loading, told.version) == (
        0,
        "noeviction",
        "slave",
        True,
        (7,),
    )


def test_a_real_cluster_says_what_its_nodes_do() -> None:
    with (
        RedisCluster(IMAGES / "redis" / "redis.conf") as cluster,
        client(cluster.url, timeout=5, connect_timeout=5) as connected,
    ):
        told = facts(connected)
    assert (told.mode, told.role, told.maxmemory) == ("cluster", "master", 3 * (500 << 20))
    assert len(told.run_id.split(",")) == 3
