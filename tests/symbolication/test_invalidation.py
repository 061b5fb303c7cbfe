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
from tecken.symbolication.invalidation import FIRST_PAUSE, Herald, Listener
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import RedisServer, free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
ODD = ObjectId("日本 :.so", "A" * 33)
SILENCE = 0.2
DOUBT = "doubt"


class Ear:
    """What a library hears, to be waited for."""

    def __init__(self) -> None:
        self.heard: SimpleQueue[ObjectId | str] = SimpleQueue()

    def drop(self, module: ObjectId) -> None:
        self.heard.put(module)

    def doubt(self) -> None:
        self.heard.put(DOUBT)

    def next(self) -> ObjectId | str:
        return self.heard.get(timeout=30)


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
def ear(server: RedisServer, pauses: list[float]) -> Ear:
    ear = Ear()
    heard = ear.heard

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        heard.put("pause")

    Listener(client(server.url), ear, SILENCE, sleep).start()
    assert ear.next() == DOUBT
    return ear


def until(ear: Ear, wanted: ObjectId | str) -> None:
    while ear.next() != wanted:
        pass


def test_every_listener_hears_what_a_herald_tells(server: RedisServer, ear: Ear) -> None:
    other = Ear()
    Listener(client(server.url), other, SILENCE).start()
    assert other.next() == DOUBT
    herald = Herald(client(server.url), RedisGuard("redis-cache"))
    for module in (XUL, ODD):
        herald.tell(module)
        assert (ear.next(), other.next()) == (module, module)


def test_silence_alone_changes_nothing(server: RedisServer, ear: Ear) -> None:
    with client(server.url) as asking:
        pings = 0
        while pings < 3:
            pings = asking.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)
    Herald(client(server.url), RedisGuard("redis-cache")).tell(XUL)
    assert ear.next() == XUL


def test_after_a_cut_everything_is_doubted(server: RedisServer, ear: Ear) -> None:
    with client(server.url) as asking:
        asking.client_kill_filter(_type="pubsub")
    until(ear, DOUBT)
    Herald(client(server.url), RedisGuard("redis-cache")).tell(XUL)
    assert ear.next() == XUL


def test_a_server_that_comes_back_is_heard_again(server: RedisServer, ear: Ear, pauses: list[float]) -> None:
    server.stop()
    while len(pauses) < 4:
        ear.next()
    server.start()
    until(ear, DOUBT)
    Herald(client(server.url), RedisGuard("redis-cache")).tell(XUL)
    assert ear.next() == XUL
    assert FIRST_PAUSE / 2 <= pauses[0] <= FIRST_PAUSE
    assert pauses[3] >= FIRST_PAUSE * 4


def test_listener_long_outage_is_logged_once(
    server: RedisServer, ear: Ear, pauses: list[float], caplog: pytest.LogCaptureFixture
) -> None:
    server.stop()
    while len(pauses) < 4:
        ear.next()
    outages = [text for text in caplog.messages if text.startswith("not told of replaced modules")]
    assert len(outages) == 1


def test_a_mute_server_is_noticed(server: RedisServer, ear: Ear) -> None:
    server.pause()
    until(ear, "pause")
    server.resume()
    until(ear, DOUBT)


def test_what_is_no_module_is_passed_over(server: RedisServer, ear: Ear) -> None:
    with client(server.url) as asking:
        asking.publish(keys.REPLACED, b"\xff\x00")
    Herald(client(server.url), RedisGuard("redis-cache")).tell(XUL)
    until(ear, XUL)


def test_the_thread_ends_with_its_hearer(server: RedisServer) -> None:
    ear = Ear()
    thread = Listener(client(server.url), ear, SILENCE).start()
    assert ear.next() == DOUBT
    del ear
    thread.join(30)
    assert not thread.is_alive()


def test_nobody_to_tell_costs_one_try_and_no_error() -> None:
    herald = Herald(client(f"redis://127.0.0.1:{free_port()}"), RedisGuard("redis-cache"))
    herald.tell(XUL)
    herald.tell(XUL)


@pytest.mark.usefixtures("clear_redis_store")
def test_a_forked_child_listens_for_itself() -> None:
    program = [sys.executable, "-m", "tests.symbolication.invalidation_fork"]
    ran = subprocess.run(program, env=os.environ, capture_output=True, text=True, timeout=60, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert sorted(ran.stdout.splitlines()) == ["child heard", "parent heard"]
