from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from queue import SimpleQueue

import pytest
import redis

from tecken import redisclient
from tecken.redisclient.guard import RedisGuard
from tecken.symbolication.conversion import keys
from tecken.symbolication.invalidation import FIRST_PAUSE, InvalidationPublisher, InvalidationSubscriber
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import RedisServer, free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
ODD = ObjectId("日本 :.so", "A" * 33)
SILENCE = 0.2
DOUBT = "doubt"


class RecordingCache:
    """Cache that records invalidations in a queue."""

    def __init__(self) -> None:
        self.events: SimpleQueue[ObjectId | str] = SimpleQueue()

    def drop(self, module: ObjectId) -> None:
        self.events.put(module)

    def invalidate_all(self) -> None:
        self.events.put(DOUBT)

    def next(self) -> ObjectId | str:
        return self.events.get(timeout=30)


def client(url: str) -> redis.Redis:
    return redisclient.client(url, timeout=1, connect_timeout=1)


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def pauses() -> list[float]:
    return []


@pytest.fixture
def cache(server: RedisServer, pauses: list[float]) -> RecordingCache:
    cache = RecordingCache()
    events = cache.events

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        events.put("pause")

    InvalidationSubscriber(client(server.url), cache, SILENCE, sleep).start()
    assert cache.next() == DOUBT
    return cache


def until(cache: RecordingCache, wanted: ObjectId | str) -> None:
    while cache.next() != wanted:
        pass


def test_publish_reaches_every_subscriber(server: RedisServer, cache: RecordingCache) -> None:
    other = RecordingCache()
    InvalidationSubscriber(client(server.url), other, SILENCE).start()
    assert other.next() == DOUBT
    publisher = InvalidationPublisher(client(server.url), RedisGuard("redis-cache"))
    for module in (XUL, ODD):
        publisher.publish(module)
        assert (cache.next(), other.next()) == (module, module)


def test_subscriber_quiet_channel_keeps_the_cache(server: RedisServer, cache: RecordingCache) -> None:
    with client(server.url) as asking:
        pings = 0
        while pings < 3:
            pings = asking.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)
    InvalidationPublisher(client(server.url), RedisGuard("redis-cache")).publish(XUL)
    assert cache.next() == XUL


def test_subscriber_lost_connection_invalidates_everything(
    server: RedisServer, cache: RecordingCache
) -> None:
    with client(server.url) as asking:
        asking.client_kill_filter(_type="pubsub")
    until(cache, DOUBT)
    InvalidationPublisher(client(server.url), RedisGuard("redis-cache")).publish(XUL)
    assert cache.next() == XUL


def test_subscriber_restarted_server_is_followed_again(
    server: RedisServer, cache: RecordingCache, pauses: list[float]
) -> None:
    server.stop()
    while len(pauses) < 4:
        cache.next()
    server.start()
    until(cache, DOUBT)
    InvalidationPublisher(client(server.url), RedisGuard("redis-cache")).publish(XUL)
    assert cache.next() == XUL
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE
    assert pauses[3] >= FIRST_PAUSE * 4


def test_subscriber_long_outage_is_logged_once(
    server: RedisServer, cache: RecordingCache, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    while len(pauses) < 4:
        cache.next()
    outages = [text for text in caplog.messages if text.startswith("lost the subscription to invalidations")]
    assert len(outages) == 1


def test_subscriber_unresponsive_server_is_noticed(server: RedisServer, cache: RecordingCache) -> None:
    server.pause()
    until(cache, "pause")
    server.resume()
    until(cache, DOUBT)


def test_subscriber_malformed_message_is_ignored(server: RedisServer, cache: RecordingCache) -> None:
    with client(server.url) as asking:
        asking.publish(keys.REPLACED, b"\xff\x00")
    InvalidationPublisher(client(server.url), RedisGuard("redis-cache")).publish(XUL)
    until(cache, XUL)


def test_subscriber_thread_ends_with_its_cache(server: RedisServer) -> None:
    cache = RecordingCache()
    thread = InvalidationSubscriber(client(server.url), cache, SILENCE).start()
    assert cache.next() == DOUBT
    del cache
    thread.join(30)
    assert not thread.is_alive()


def test_publish_without_redis_takes_one_attempt() -> None:
    publisher = InvalidationPublisher(client(f"redis://127.0.0.1:{free_port()}"), RedisGuard("redis-cache"))
    publisher.publish(XUL)
    publisher.publish(XUL)


@pytest.mark.usefixtures("clear_redis_store")
def test_subscriber_forked_child_has_its_own() -> None:
    program = [sys.executable, "-m", "tests.symbolication.invalidation_fork"]
    ran = subprocess.run(program, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted(ran.stdout.splitlines()) == ["child invalidated", "parent invalidated"]


def test_subscriber_passes_results_to_those_who_wait(server: RedisServer) -> None:
    cache, results = RecordingCache(), SimpleQueue[str]()
    InvalidationSubscriber(client(server.url), cache, SILENCE, on_result=results.put).start()
    assert cache.next() == DOUBT
    with client(server.url) as publisher:
        publisher.publish(keys.ANSWERED, ODD.key)
        publisher.publish(keys.REPLACED, XUL.key)
    assert results.get(timeout=30) == ODD.key
    assert cache.next() == XUL
