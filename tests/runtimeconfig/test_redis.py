"""Backend in Redis: changes by hand, invalid content, a frozen or stopped server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
import redis

from tecken.errors import Unavailable
from tecken.redisclient import client
from tecken.runtimeconfig.backend import Change, Hint, Report, Values
from tecken.runtimeconfig.backends import redis as keys
from tecken.runtimeconfig.backends.redis import RedisBackend, RedisSubscription
from tecken.runtimeconfig.process import ConfigBackend
from tests.support.redis_server import MUTE_AFTER, RedisServer

CHANNEL = "test:config"
JOBS = {"symbolicate_max_jobs": "20"}
FIRST = Change(1, "a", "alice", "", "2026-11-21T22:00:00+00:00", "cli")
LONGEST = 10.0


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    yield running
    running.resume()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    """Return a client for changes by hand, as with redis-cli."""
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def backend(server: RedisServer, raw: redis.Redis) -> Iterator[RedisBackend]:
    with client(server.url, timeout=MUTE_AFTER, connect_timeout=MUTE_AFTER) as connected:
        yield RedisBackend(connected, CHANNEL)


def test_head_after_a_change_by_hand_has_no_stamp(backend: RedisBackend, raw: redis.Redis) -> None:
    backend.write(FIRST, JOBS, expected=0)
    raw.hset(keys.VALUES_KEY, "symbolicate_max_jobs", "30")
    raw.incr(keys.VERSION_KEY)
    assert backend.head()[:2] == (2, "")
    assert backend.read() == Values(2, "", {"symbolicate_max_jobs": "30"})
    backend.write(FIRST._replace(version=3), JOBS, expected=2)
    assert backend.head()[:2] == (3, "a")


@pytest.mark.parametrize("text", ["-1", "1.5", "0x10", "1e3", "9" * 30, " 7", "", "x"])
def test_write_over_an_invalid_version_succeeds(backend: RedisBackend, raw: redis.Redis, text: str) -> None:
    raw.set(keys.VERSION_KEY, text)
    assert backend.read().version == backend.head().version == 0
    backend.write(FIRST, JOBS, expected=0)
    assert backend.read() == Values(1, "a", JOBS)


def test_read_first_change_by_hand_has_no_stamp(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.hset(keys.VALUES_KEY, "symbolicate_max_jobs", "30")
    raw.incr(keys.VERSION_KEY)
    assert backend.read() == Values(1, "", {"symbolicate_max_jobs": "30"})


@pytest.mark.parametrize("version", ["", "soon", "-3", "1.5", b"\xff"])
def test_head_invalid_version_is_0(backend: RedisBackend, raw: redis.Redis, version: bytes) -> None:
    raw.set(keys.VERSION_KEY, version)
    assert backend.head()[:2] == (0, "")


def test_write_over_a_version_that_is_no_number_succeeds(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.set(keys.VERSION_KEY, "soon")
    backend.write(FIRST, JOBS, expected=0)
    assert backend.read() == Values(1, "a", JOBS)


@pytest.mark.parametrize(
    "garbage", ["", "x", "[]", '{"version": 1}', '{"version": 1, "stamp": 2}', "[" * 100_000]
)
def test_head_with_invalid_change_has_no_stamp(backend: RedisBackend, raw: redis.Redis, garbage: str) -> None:
    backend.write(FIRST, JOBS, expected=0)
    raw.set(keys.CHANGE_KEY, garbage)
    assert backend.head()[:2] == (1, "")


def test_read_text_in_another_encoding_has_replacement_characters(
    backend: RedisBackend, raw: redis.Redis
) -> None:
    raw.hset(keys.VALUES_KEY, b"log_level", b"\xff")
    raw.incr(keys.VERSION_KEY)
    assert backend.read().texts == {"log_level": "\N{REPLACEMENT CHARACTER}"}


def test_read_values_of_another_type_raises_until_the_next_write(
    backend: RedisBackend, raw: redis.Redis
) -> None:
    raw.set(keys.VALUES_KEY, "x")
    with pytest.raises(Unavailable, match="redis-cache refuses a command"):
        backend.read()
    backend.write(FIRST, JOBS, expected=0)
    assert backend.read().texts == JOBS


@pytest.mark.parametrize(
    "message",
    [
        b"",
        b"hello",
        b"1790000000.5",
        b"\xff",
        b"[]",
        b"null",
        b'{"version": 9}',
        b'{"version": 0, "stamp": "x", "texts": {}}',
        b'{"version": true, "stamp": "x", "texts": {}}',
        b'{"version": 9, "stamp": 1, "texts": {}}',
        b'{"version": 9, "stamp": "x", "texts": []}',
        b'{"version": 9, "stamp": "x", "texts": {"symbolicate_max_jobs": 3}}',
        b"[" * 100_000,
    ],
)
def test_subscription_malformed_message_is_a_hint(
    backend: RedisBackend, raw: redis.Redis, message: bytes
) -> None:
    with backend.subscribe() as subscription:
        raw.publish(CHANNEL, message)
        assert subscription.next(LONGEST) == Hint(message.decode(errors="replace"))


def test_reports_expire(backend: RedisBackend, raw: redis.Redis) -> None:
    backend.report(Report("host:1", "web", 1, "a", 0.0, 0))
    assert 0 < int(raw.ttl(f"{keys.PROCESS_KEY}host:1")) <= 15
    raw.set(f"{keys.PROCESS_KEY}host:2", "x")
    raw.set(f"{keys.PROCESS_KEY}host:3", json.dumps({"process": "host:3", "kind": "web"}))
    assert [report.process for report in backend.reports()] == ["host:1"]


CALLS: dict[str, Callable[[ConfigBackend], object]] = {
    "head": lambda backend: backend.head(),
    "read": lambda backend: backend.read(),
    "write": lambda backend: backend.write(FIRST, JOBS, expected=0),
    "report": lambda backend: backend.report(Report("host:1", "web", 1, "a", 0.0, 0)),
    "reports": lambda backend: backend.reports(),
    "set_maintenance": lambda backend: backend.set_maintenance("full", "x", None),
    "listen": lambda backend: backend.subscribe().__enter__(),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_to_an_unresponsive_server_raises_could_not_ask(
    server: RedisServer, backend: RedisBackend, call: Callable[[ConfigBackend], object]
) -> None:
    # This makes the connection.
    backend.head()
    server.pause()
    with pytest.raises(Unavailable):
        call(backend)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_call_to_an_unreachable_server_raises_could_not_ask(call: Callable[[ConfigBackend], object]) -> None:
    with RedisServer() as gone, client(gone.url, timeout=1, connect_timeout=1) as connected:
        gone.stop()
        with pytest.raises(Unavailable, match="redis-cache does not answer"):
            call(RedisBackend(connected, CHANNEL))


@pytest.mark.parametrize("how", ["replica", "full"])
def test_write_to_a_read_only_server_has_a_clear_error(
    server: RedisServer, backend: RedisBackend, raw: redis.Redis, how: str
) -> None:
    raw.replicaof("127.0.0.1", "1") if how == "replica" else raw.config_set("maxmemory", "1")
    with pytest.raises(Unavailable) as raised:
        backend.set_maintenance("full", "text", None)
    raw.replicaof("NO", "ONE") if how == "replica" else raw.config_set("maxmemory", "0")
    assert str(raised.value) == "redis-cache answers, but takes no writes"


def test_subscription_cut_connection_raises_could_not_ask(backend: RedisBackend, raw: redis.Redis) -> None:
    with backend.subscribe() as subscription:
        raw.client_kill_filter(_type="pubsub")
        with pytest.raises(Unavailable):
            subscription.next(LONGEST)


def test_subscription_silence_on_a_live_connection_returns_none(
    server: RedisServer, raw: redis.Redis
) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        subscription = RedisSubscription(connection, silence=0.5)
        # Each second call sends a PING, each other one reads its answer.
        for _ in range(6):
            assert subscription.next(0.5) is None
        raw.publish(CHANNEL, "x")
        while (message := subscription.next(LONGEST)) is None:
            pass
        assert message == Hint("x")


def test_subscription_silence_on_a_frozen_connection_raises(server: RedisServer, raw: redis.Redis) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        subscription = RedisSubscription(connection, silence=0.05)
        server.pause()
        with pytest.raises(Unavailable, match="no answer to PING"):
            wait_for_ever(subscription)


def test_subscription_ping_may_be_answered_during_one_silence(server: RedisServer, raw: redis.Redis) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        server.pause()
        began = monotonic()
        subscription = RedisSubscription(connection, silence=0.2)
        with pytest.raises(Unavailable, match="no answer to PING"):
            wait_for_ever(subscription, each=0.01)
        assert monotonic() - began >= 2 * 0.2


def test_subscription_message_delays_the_ping(server: RedisServer, raw: redis.Redis) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        subscription = RedisSubscription(connection, silence=3600.0)
        raw.publish(CHANNEL, "x")
        assert subscription.next(LONGEST) == Hint("x")
        raw.config_resetstat()
        assert [subscription.next(0.01) for _ in range(3)] == [None] * 3
        assert "cmdstat_ping" not in raw.info("commandstats")


def wait_for_ever(subscription: RedisSubscription, each: float = 0.05) -> None:
    while True:
        subscription.next(each)


def test_subscription_connection_is_not_used_again(backend: RedisBackend, raw: redis.Redis) -> None:
    for _ in range(3):
        with backend.subscribe():
            assert backend.head().version == 0
    assert backend.head().version == 0
    assert raw.pubsub_numsub(CHANNEL) == [(CHANNEL.encode(), 0)]
