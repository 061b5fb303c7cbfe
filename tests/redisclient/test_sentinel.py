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


def test_sentinels_and_their_master_are_asked_over_tls() -> None:
    pool = Pools.from_url("sentinels://a/m")
    assert pool.connection_class is SentinelManagedSSLConnection


def test_dead_sentinels_cost_one_timeout_together() -> None:
    pool = Pools.from_url("sentinel://a,b,c,d/m", socket_timeout=1.0, socket_connect_timeout=2.0)
    assert isinstance(pool, MasterPool)
    asked = [sentinel.connection_pool.connection_kwargs for sentinel in pool.sentinel_manager.sentinels]
    assert sum(each["socket_timeout"] for each in asked) == 1.0
    assert sum(each["socket_connect_timeout"] for each in asked) == 2.0


def test_refused_sentinels_are_a_connection_that_failed() -> None:
    url = f"sentinel://127.0.0.1:{free_port()},127.0.0.1:{free_port()}/m"
    with client(url, timeout=5, connect_timeout=5) as nobody, pytest.raises(redis.ConnectionError):
        nobody.ping()


def test_a_master_nobody_knows_is_a_connection_that_failed(pair: SentinelPair) -> None:
    other = client(pair.url.replace("/tecken/", "/another/"), timeout=5, connect_timeout=5)
    with other, pytest.raises(redis.ConnectionError):
        other.ping()


def test_the_master_is_asked_and_one_database_of_it(pair: SentinelPair, connected: redis.Redis) -> None:
    second = client(pair.url.removesuffix("0") + "2", timeout=1, connect_timeout=1)
    with second:
        assert second.get("key") is None
    assert writes_to(connected, pair.master)


def test_servers_and_sentinels_may_want_a_password() -> None:
    with SentinelPair(password="secret") as pair, client(pair.url, timeout=1, connect_timeout=1) as connected:
        assert writes_to(connected, pair.master)


def test_a_master_that_died_is_followed_by_another(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.master.stop()
    pair.wait_for_other()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")
    assert connected.get("key") == b"value"


def test_a_master_that_was_mute_is_not_asked_again(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.master.pause()
    pair.wait_for_other()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")
    pair.other.resume()
    assert writes_to(connected, pair.master)


def test_a_master_that_goes_on_answering_is_left(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.failover()
    wait_until(lambda: writes_to(connected, pair.master), 30, "a write to the new master")


def test_a_master_that_became_a_replica_is_left_with_its_first_no(
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


def test_the_master_answers_while_no_sentinel_does(pair: SentinelPair, connected: redis.Redis) -> None:
    pair.stop_sentinels()
    assert isinstance(connected.connection_pool, MasterPool)
    connected.connection_pool._ask_at = 0.0
    assert writes_to(connected, pair.master)
