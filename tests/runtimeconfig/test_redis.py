"""Backend in Redis: changes by hand, invalid content, a frozen or stopped server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from time import monotonic

import pytest
import redis

from tecken.errors import CouldNotAsk
from tecken.redisclient import client
from tecken.runtimeconfig.backend import Change, ConfigBackend, Hint, Report, Values
from tecken.runtimeconfig.backends import redis as keys
from tecken.runtimeconfig.backends.redis import RedisBackend, RedisSubscription
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
    """redis-cli."""
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        connected.flushall()
        yield connected


@pytest.fixture
def backend(server: RedisServer, raw: redis.Redis) -> Iterator[RedisBackend]:
    with client(server.url, timeout=MUTE_AFTER, connect_timeout=MUTE_AFTER) as connected:
        yield RedisBackend(connected, CHANNEL)


def test_a_change_by_hand_has_no_stamp(backend: RedisBackend, raw: redis.Redis) -> None:
    backend.write(FIRST, JOBS, expected=0)
    raw.hset(keys.VALUES_KEY, "symbolicate_max_jobs", "30")
    raw.incr(keys.VERSION_KEY)
    assert backend.head()[:2] == (2, "")
    assert backend.read() == Values(2, "", {"symbolicate_max_jobs": "30"})
    backend.write(FIRST._replace(version=3), JOBS, expected=2)
    assert backend.head()[:2] == (3, "a")


@pytest.mark.parametrize("text", ["-1", "1.5", "0x10", "1e3", "9" * 30, " 7", "", "x"])
def test_what_is_no_version_stands_in_nobodys_way(backend: RedisBackend, raw: redis.Redis, text: str) -> None:
    raw.set(keys.VERSION_KEY, text)
    assert backend.read().version == backend.head().version == 0
    backend.write(FIRST, JOBS, expected=0)
    assert backend.read() == Values(1, "a", JOBS)


def test_the_first_change_may_be_by_hand(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.hset(keys.VALUES_KEY, "symbolicate_max_jobs", "30")
    raw.incr(keys.VERSION_KEY)
    assert backend.read() == Values(1, "", {"symbolicate_max_jobs": "30"})


@pytest.mark.parametrize("version", ["", "soon", "-3", "1.5", b"\xff"])
def test_a_version_that_is_none_is_not_there(backend: RedisBackend, raw: redis.Redis, version: bytes) -> None:
    raw.set(keys.VERSION_KEY, version)
    assert backend.head()[:2] == (0, "")


def test_a_version_that_is_none_can_be_replaced(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.set(keys.VERSION_KEY, "soon")
    backend.write(FIRST, JOBS, expected=0)
    assert backend.read() == Values(1, "a", JOBS)


@pytest.mark.parametrize(
    "garbage", ["", "x", "[]", '{"version": 1}', '{"version": 1, "stamp": 2}', "[" * 100_000]
)
def test_a_garbled_change_counts_as_by_hand(backend: RedisBackend, raw: redis.Redis, garbage: str) -> None:
    backend.write(FIRST, JOBS, expected=0)
    raw.set(keys.CHANGE_KEY, garbage)
    assert backend.head()[:2] == (1, "")


def test_text_that_is_not_utf_8_is_left_for_the_validation(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.hset(keys.VALUES_KEY, b"log_level", b"\xff")
    raw.incr(keys.VERSION_KEY)
    assert backend.read().texts == {"log_level": "\N{REPLACEMENT CHARACTER}"}


def test_values_of_another_type_cannot_be_read_but_replaced(backend: RedisBackend, raw: redis.Redis) -> None:
    raw.set(keys.VALUES_KEY, "x")
    with pytest.raises(CouldNotAsk, match="redis-cache refuses a command"):
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
def test_a_malformed_message_is_a_hint(backend: RedisBackend, raw: redis.Redis, message: bytes) -> None:
    with backend.subscribe() as subscription:
        raw.publish(CHANNEL, message)
        assert subscription.next(LONGEST) == Hint(message.decode(errors="replace"))


def test_reports_go_by_themselves(backend: RedisBackend, raw: redis.Redis) -> None:
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
def test_a_mute_server_is_given_up(
    server: RedisServer, backend: RedisBackend, call: Callable[[ConfigBackend], object]
) -> None:
    backend.head()  # so that there is a connection
    server.pause()
    with pytest.raises(CouldNotAsk):
        call(backend)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_server_that_is_away_is_said_to_be(call: Callable[[ConfigBackend], object]) -> None:
    with RedisServer() as gone, client(gone.url, timeout=1, connect_timeout=1) as connected:
        gone.stop()
        with pytest.raises(CouldNotAsk, match="redis-cache does not answer"):
            call(RedisBackend(connected, CHANNEL))


@pytest.mark.parametrize("how", ["replica", "full"])
def test_write_to_a_server_that_takes_none_has_our_own_text(
    server: RedisServer, backend: RedisBackend, raw: redis.Redis, how: str
) -> None:
    raw.replicaof("127.0.0.1", "1") if how == "replica" else raw.config_set("maxmemory", "1")
    with pytest.raises(CouldNotAsk) as raised:
        backend.set_maintenance("full", "text", None)
    raw.replicaof("NO", "ONE") if how == "replica" else raw.config_set("maxmemory", "0")
    assert str(raised.value) == "redis-cache answers, but takes no writes"


def test_a_connection_that_is_cut_is_told(backend: RedisBackend, raw: redis.Redis) -> None:
    with backend.subscribe() as subscription:
        raw.client_kill_filter(_type="pubsub")
        with pytest.raises(CouldNotAsk):
            subscription.next(LONGEST)


def test_silence_on_a_living_connection_is_nothing(server: RedisServer, raw: redis.Redis) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        subscription = RedisSubscription(connection, silence=0.5)
        for _ in range(6):  # each second one sends a PING, or hears that it was answered
            assert subscription.next(0.5) is None
        raw.publish(CHANNEL, "x")
        while (message := subscription.next(LONGEST)) is None:
            pass
        assert message == Hint("x")


def test_silence_on_a_frozen_connection_is_noticed(server: RedisServer, raw: redis.Redis) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        subscription = RedisSubscription(connection, silence=0.05)
        server.pause()
        with pytest.raises(CouldNotAsk, match="no answer to PING"):
            wait_for_ever(subscription)


def test_redis_listening_frozen_connection_has_a_silence_to_answer_the_ping(
    server: RedisServer, raw: redis.Redis
) -> None:
    with client(server.url, timeout=1, connect_timeout=1) as connected:
        connection = connected.connection_pool.get_connection()
        connection.send_command("SUBSCRIBE", CHANNEL)
        connection.read_response()
        server.pause()
        began = monotonic()
        subscription = RedisSubscription(connection, silence=0.2)
        with pytest.raises(CouldNotAsk, match="no answer to PING"):
            wait_for_ever(subscription, each=0.01)
        assert monotonic() - began >= 2 * 0.2


def test_redis_listening_message_puts_off_the_ping(server: RedisServer, raw: redis.Redis) -> None:
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


def test_the_connection_that_listened_serves_nobody_else(backend: RedisBackend, raw: redis.Redis) -> None:
    for _ in range(3):
        with backend.subscribe():
            assert backend.head().version == 0
    assert backend.head().version == 0
    assert raw.pubsub_numsub(CHANNEL) == [(CHANNEL.encode(), 0)]
