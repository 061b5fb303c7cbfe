from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from redis.sentinel import SentinelManagedSSLConnection

from tecken.redisclient import MasterPool, Pools, client
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import SentinelPair, wait_until


@pytest.fixture
def pair() -> Iterator[SentinelPair]:
    with SentinelPair() as pair:
        yield pair


@pytest.fixture
def connected(pair: SentinelPair) -> Iterator[redis.Redis]:
    with client(pair.url, timeout=1, connect_timeout=1) as connected:
        connected.set("key", "value")
        yield connected


def writes_to(connected: redis.Redis, server: RedisServer) -> bool:
    return bool(connected.set("key", "value") and connected.info("server")["tcp_port"] == server.port)


def test_sentinel_client_uses_tls_for_sentinels_and_master() -> None:
    pool = Pools.from_url("sentinels://a/m")
    assert pool.connection_class is SentinelManagedSSLConnection


def test_sentinel_client_with_dead_sentinels_costs_one_timeout() -> None:
    pool = Pools.from_url("sentinel://a,b,c,d/m", socket_timeout=1.0, socket_connect_timeout=2.0)
    assert isinstance(pool, MasterPool)
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert sum(each["socket_timeout"] for each in asked) == 1.0
    assert sum(each["socket_connect_timeout"] for each in asked) == 2.0


def test_sentinel_client_with_refused_ports_raises_connection_error() -> None:
    url = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/m"
    with client(url, timeout=5, connect_timeout=5) as nobody, pytest.raises(redis.ConnectionError):
        nobody.ping()


def test_sentinel_client_with_an_unknown_master_raises_connection_error(pair: SentinelPair) -> None:
    other = client(pair.url.replace("/tecken/", "/another/"), timeout=5, connect_timeout=5)
    with other, pytest.raises(redis.ConnectionError):
        other.ping()


def test_sentinel_client_uses_the_database_of_the_url(pair: SentinelPair, connected: redis.Redis) -> None:
    second = client(pair.url.removesuffix("0") + "2", timeout=1, connect_timeout=1)
    with second:
        assert second.get("key") is None
    assert writes_to(connected, pair.master)


def test_sentinel_client_sends_both_passwords() -> None:
    with SentinelPair(password="secret") as pair, client(pair.url, timeout=1, connect_timeout=1) as connected:
        assert writes_to(connected, pair.master)


def test_sentinel_client_follows_a_new_master(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.master.stop()
    pair.wait_for_other()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")
    assert connected.get("key") == b"value"


def test_sentinel_client_leaves_a_mute_master(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.master.pause()
    pair.wait_for_other()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")
    pair.other.resume()
    assert writes_to(connected, pair.master)


def test_sentinel_client_leaves_a_replaced_master_that_answers(
    pair: SentinelPair, connected: redis.Redis
) -> None:
    pair.failover()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")


def test_sentinel_client_leaves_a_master_that_became_a_replica(
    pair: SentinelPair, connected: redis.Redis
) -> None:
    connection = connected.connection_pool.get_connection()
    pair.failover()
    with client(pair.other.url, timeout=1, connect_timeout=1) as old:
        old.replicaof("127.0.0.1", pair.master.port)
    connection.send_command("SET", "key", "value")  # type: ignore[no-untyped-call]
    with pytest.raises(redis.ConnectionError, match="now a slave"):
        connection.read_response()
    connected.connection_pool.release(connection)
    assert writes_to(connected, pair.master)


def test_sentinel_client_without_sentinels_keeps_its_master(
    pair: SentinelPair, connected: redis.Redis
) -> None:
    pair.stop_sentinels()
    assert isinstance(connected.connection_pool, MasterPool)
    connected.connection_pool._ask_at = 0.0
    assert writes_to(connected, pair.master)
