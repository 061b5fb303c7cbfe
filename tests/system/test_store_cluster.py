"""The store is a Redis Cluster: a node dies and its replica takes its place while the site symbolicates."""

from __future__ import annotations

from pathlib import Path

import redis

from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer
from tests.support.sentinel import wait_until
from tests.system.site import IMAGES, Site
from tests.system.test_failures import SAMPLES, STACK, Load, found


def keys(server: RedisServer) -> int:
    with redis.Redis.from_url(server.url) as connected:
        return int(connected.dbsize())


def emptied(server: RedisServer) -> bool:
    """Return whether the node accepted the command, which a replica does not."""
    with redis.Redis.from_url(server.url) as connected:
        return bool(connected.flushall())


def test_requests_while_a_cluster_node_dies_are_answered(tmp_path: Path) -> None:
    with (
        RedisCluster(IMAGES / "redis" / "redis.conf", replicas=3) as cluster,
        Site(tmp_path, REDIS_STORE_URL=cluster.url) as site,
    ):
        site.manage("symbols", "add", str(SAMPLES))
        load = Load(site, found(site.symbolicate(STACK).json()))
        fullest = max(range(3), key=lambda number: keys(cluster.servers[number]))
        replica = cluster.replicas[fullest].server
        with load.going():
            wait_until(lambda: load.seen[200] >= 5, 60, "requests are answered")
            cluster.servers[fullest].kill()
            wait_until(lambda: emptied(replica), 60, "the replica has taken the place")
            wait_until(lambda: keys(replica) > 0, 60, "the site keeps pages there")
    assert (set(load.seen), load.wrong) == ({200}, [])
