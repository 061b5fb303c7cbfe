from __future__ import annotations

from tecken.monitoring.preflight.rules import Facts, fetch_facts, merge_facts, parse_info
from tecken.redisclient import client
from tests.support.cluster import RedisCluster
from tests.support.site_account import IMAGES

NODE = parse_info(
    {"run_id": "a", "redis_version": "7.2.4", "role": "master", "maxmemory_policy": "allkeys-lru"}
)


def node(**values: object) -> Facts:
    return NODE._replace(**{"maxmemory": 100, "hits": 3, **values})  # type: ignore[arg-type]


def test_merge_facts_adds_up_nodes() -> None:
    facts = merge_facts([node(run_id="a"), node(run_id="b", hits=4)])
    assert (facts.run_id, facts.maxmemory, facts.hits, facts.policy) == ("a,b", 200, 7, "allkeys-lru")


def test_merge_facts_of_different_nodes_has_the_worst_value() -> None:
    facts = merge_facts(
        [node(), node(maxmemory=0, policy="noeviction", role="slave", loading=True, version=(7,))]
    )
    assert (facts.maxmemory, facts.policy, facts.role, facts.loading, facts.version) == (
        0,
        "noeviction",
        "slave",
        True,
        (7,),
    )


def test_fetch_facts_of_a_real_cluster_merges_its_nodes() -> None:
    with (
        RedisCluster(IMAGES / "redis" / "redis.conf") as cluster,
        client(cluster.url, timeout=5, connect_timeout=5) as connected,
    ):
        facts = fetch_facts(connected)
    assert (facts.mode, facts.role, facts.maxmemory) == ("cluster", "master", 3 * (500 << 20))
    assert len(facts.run_id.split(",")) == 3
