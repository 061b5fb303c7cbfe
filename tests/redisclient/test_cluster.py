from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import redis
from redis.crc import key_slot

from tecken.redisclient import Cluster, client, nodes
from tests.redisclient.conftest import connect
from tests.support.cluster import RedisCluster
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import wait_until

NAMES = [f"key-{number}" for number in range(60)]
VALUES = {name: name.encode() for name in NAMES}
MUTE_SECONDS = 2.0  # enough for a node that is not


@pytest.fixture
def patient(shared: RedisCluster, monkeypatch: pytest.MonkeyPatch) -> Iterator[RedisCluster]:
    """Nodes that are away stay so for clients that meet it."""
    monkeypatch.setattr("tecken.redisclient.cluster.PAUSE", 600.0)
    yield shared
    for server in shared.servers:
        server.resume()
    wait_until(shared.settled, 30, "the nodes find each other again")


def of(server: int) -> list[str]:
    """Names whose slots that primary has, of three."""
    return [name for name in NAMES if key_slot(name.encode()) * 3 // 16384 == server]


def reads(connected: Cluster) -> list[int]:
    """How often each node found something sent to it."""
    return [int(node.info("stats")["total_reads_processed"]) for node in nodes(connected)]


def test_cluster_spreads_keys_over_all_nodes(connected: Cluster) -> None:
    assert connected.mset(VALUES)
    assert [node.dbsize() for node in nodes(connected)] == [len(of(server)) for server in range(3)]
    assert connected.mget([*NAMES, "none"]) == [*VALUES.values(), None]
    assert connected.mget("none", NAMES[0]) == [None, VALUES[NAMES[0]]]
    assert all(connected.get(name) == value for name, value in VALUES.items())


def test_cluster_read_is_one_round_trip_per_node(connected: Cluster) -> None:
    before = reads(connected)
    connected.mget(NAMES)
    assert [after - first for first, after in zip(before, reads(connected), strict=True)] == [1 + 1] * 3


def test_cluster_command_without_key_runs_on_all_nodes(connected: Cluster) -> None:
    connected.mset(VALUES)
    assert connected.dbsize() == len(NAMES)
    assert sorted(connected.keys("key-*")) == sorted(VALUES.values())
    assert sorted(connected.scan_iter("key-*", count=7)) == sorted(VALUES.values())
    assert connected.ping()
    assert connected.exists(*NAMES, "none") == len(NAMES)
    assert connected.unlink(*NAMES[:10], "none") == 10
    assert connected.delete(*NAMES[:20]) == 10
    assert connected.flushdb()
    assert connected.dbsize() == 0


def test_cluster_pipeline_returns_replies_in_order(connected: Cluster) -> None:
    with connected.pipeline() as pipeline:
        for name in NAMES:
            pipeline.set(name, name, ex=60)
            pipeline.get(name)
        pipeline.incr(NAMES[0])
        answers = pipeline.execute(raise_on_error=False)
    assert answers[1:-1:2] == list(VALUES.values())
    assert isinstance(answers[-1], redis.ResponseError)
    with connected.pipeline() as pipeline:
        pipeline.incr(NAMES[0])
        with pytest.raises(redis.ResponseError, match="not an integer"):
            pipeline.execute()


def test_cluster_script_runs_on_the_node_of_its_key(connected: Cluster) -> None:
    for name in NAMES:
        assert connected.eval("return redis.call('SET', KEYS[1], ARGV[1])", 1, name, "set") == b"OK"
    assert connected.mget(NAMES) == [b"set"] * len(NAMES)


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.info(),
        lambda client: client.info("memory"),
        lambda client: client.config_get("maxmemory"),
        lambda client: client.scan(),
        lambda client: client.slowlog_get(),
        lambda client: client.time(),
        lambda client: client.eval("return 1", 0),
    ],
)
def test_cluster_command_for_one_server_is_refused(
    connected: Cluster, ask: Callable[[Cluster], object]
) -> None:
    with pytest.raises(redis.DataError, match=r"one server|without a key"):
        ask(connected)


def test_cluster_without_commands_sends_nothing() -> None:
    with client(f"redis-cluster://127.0.0.1:{free_port()}", timeout=5, connect_timeout=5) as nobody:
        assert isinstance(nobody, Cluster)
        assert nobody.mget([]) == []


def test_cluster_finds_its_nodes_through_one_seed(shared: RedisCluster) -> None:
    url = f"redis-cluster://127.0.0.1:{free_port()},127.0.0.1:{shared.servers[2].port}"
    with client(url, timeout=5, connect_timeout=5) as connected:
        assert connected.mset(VALUES)
        assert len(nodes(connected)) == 3


def test_cluster_without_any_node_raises_in_time() -> None:
    with client(f"redis-cluster://127.0.0.1:{free_port()}", timeout=5, connect_timeout=5) as nobody:
        for _ in range(2):
            with pytest.raises(redis.ConnectionError):
                nobody.get("key")


def test_cluster_client_of_a_plain_server_raises() -> None:
    with RedisServer() as server:
        url = f"redis-cluster://127.0.0.1:{server.port}"
        with client(url, timeout=5, connect_timeout=5) as alone, pytest.raises(redis.ResponseError):
            alone.get("key")


def test_nodes_of_a_plain_server_are_its_client() -> None:
    with RedisServer() as server, client(server.url, timeout=5, connect_timeout=5) as connected:
        assert nodes(connected) == [connected]


def test_cluster_used_by_threads_returns_their_own_replies(connected: Cluster) -> None:
    connected.mset(VALUES)
    shares = [NAMES[thread::8] for thread in range(8)] * 20
    with ThreadPoolExecutor(8) as threads:
        found = list(threads.map(connected.mget, shares))
    assert found == [[VALUES[name] for name in share] for share in shares]


def test_cluster_in_a_forked_process_opens_its_own_connections(
    shared: RedisCluster, connected: Cluster
) -> None:
    """In a fresh interpreter, because this one has threads."""
    command = [sys.executable, "-m", "tests.store.fork", shared.url]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


def test_cluster_follows_a_moved_slot(cluster: RedisCluster) -> None:
    name, slot = NAMES[0], key_slot(NAMES[0].encode())
    with connect(cluster) as connected:
        connected.set("elsewhere", "value")
        old, new = cluster.owner(slot), cluster.other(slot)
        cluster.give(slot, new)
        assert connected.set(name, "moved")
        with redis.Redis.from_url(new.server.url) as node:
            assert node.get(name) == b"moved"
        assert old is not new
        assert connected.mget(NAMES[:3]) == [b"moved", None, None]


def test_cluster_follows_a_moving_slot(cluster: RedisCluster) -> None:
    tag = "{tag}"
    here, there = f"{tag}here", f"{tag}there"
    slot = key_slot(tag.encode())
    with connect(cluster) as connected:
        connected.set(here, "old")
        new = cluster.other(slot)
        cluster.open(slot, new)
        assert connected.set(there, "new")
        assert connected.mget([here, there]) == [b"old", b"new"]
        with redis.Redis.from_url(new.server.url) as node:
            assert node.dbsize() == 1


def test_cluster_with_a_mute_node_fails_for_its_keys_only(patient: RedisCluster) -> None:
    with connect(patient, timeout=MUTE_SECONDS) as connected:
        connected.mset(VALUES)
        patient.servers[1].pause()
        for _ in range(3):
            found = dict(zip(NAMES, connected.mget_reachable(NAMES), strict=True))
            assert found == {name: None if name in of(1) else VALUES[name] for name in NAMES}
        with pytest.raises(redis.ConnectionError, match="not asked"):
            connected.mget(NAMES)
        with pytest.raises(redis.ConnectionError, match="not asked"):
            connected.set(of(1)[0], "lost")
        assert connected.set(of(2)[0], of(2)[0])


def test_cluster_with_mute_nodes_costs_one_timeout(patient: RedisCluster) -> None:
    with connect(patient, timeout=MUTE_SECONDS) as connected:
        connected.mset(VALUES)
        for server in patient.servers:
            server.pause()
        with pytest.raises(redis.TimeoutError):
            connected.mget_reachable(NAMES)
        with pytest.raises(redis.ConnectionError, match="not asked"):
            connected.mget_reachable(NAMES)


def test_cluster_tries_a_mute_node_again(shared: RedisCluster) -> None:
    with connect(shared, timeout=MUTE_SECONDS) as connected:
        connected.mset(VALUES)
        shared.servers[1].pause()
        assert None in connected.mget_reachable(NAMES)
        shared.servers[1].resume()
        wait_until(lambda: connected.mget(NAMES) == list(VALUES.values()), 30, "all nodes answer again")


def test_cluster_restarted_between_two_commands_raises_nothing() -> None:
    with RedisCluster(primaries=1) as single, connect(single) as connected:
        connected.set("key", "value")
        single.servers[0].stop()
        single.servers[0].start()
        wait_until(lambda: connected.get("key") is None, 30, "the node serves again")


def test_cluster_follows_the_replica_of_a_dead_node(cluster: RedisCluster) -> None:
    with connect(cluster, timeout=5) as connected:
        connected.mset(VALUES)
        cluster.servers[0].kill()
        found = connected.mget_reachable(NAMES)
        assert [name for name, value in zip(NAMES, found, strict=True) if value is None] == of(0)
        wait_until(lambda: connected.mset(VALUES), 60, "writes to all nodes")
        assert connected.mget(NAMES) == list(VALUES.values())
        assert cluster.replicas[0].server.port in [
            node.info("server")["tcp_port"] for node in nodes(connected)
        ]
