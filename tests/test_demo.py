"""Redis and Celery's queue in one process, and what is done so that it stays one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from typing import Any

import pytest
import redis
from django.test import Client
from kombu.connection import Connection
from pytest_django import Settings
from redis.lock import Lock

from tecken import redisclient
from tecken.demo.site import WARNINGS
from tecken.redisclient.guard import RedisGuard
from tecken.settings import BASE_DIR
from tecken.storage.presence_cache import PresenceCache, PresenceLifetimes, Unknown
from tecken.symbolication.conversion.status import ClientPlaces, RedisConversionTracker
from tecken.symbolication.invalidation import InvalidationPublisher, InvalidationSubscriber
from tecken.symbols.ids import ObjectId
from tests.test_settings import load

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
LATE = 60.0  # seconds


def memory(server: str, number: int = 0) -> redis.Redis:
    return redisclient.client(f"memory://{server}/{number}", timeout=1, connect_timeout=1)


@pytest.fixture
def server(request: pytest.FixtureRequest) -> str:
    """Return the name of a server of this test."""
    return f"server-{request.node.name}"


@pytest.fixture
def client(server: str) -> redis.Redis:
    return memory(server)


def test_memory_clients_of_one_name_and_number_share_keys(client: redis.Redis, server: str) -> None:
    client.set("foo", "bar")
    assert memory(server).get("foo") == b"bar"
    assert memory(server, 1).get("foo") is None
    assert memory(f"{server}-2").get("foo") is None


def test_memory_key_with_an_expiry_expires(client: redis.Redis) -> None:
    client.set("gone", 1, px=1)
    client.set("kept", 1, ex=100)
    Event().wait(0.01)
    assert client.keys() == [b"kept"]


def test_memory_lock_has_one_holder(client: redis.Redis) -> None:
    with Lock(client, "turn", timeout=100):
        assert not Lock(client, "turn", timeout=100).acquire(blocking=False)
    assert Lock(client, "turn", timeout=100).acquire(blocking=False)


def test_memory_server_runs_the_conversion_tracker(client: redis.Redis) -> None:
    tracker = RedisConversionTracker(client, RedisGuard("redis-cache"))
    assert tracker.get([XUL]) == ["idle"]
    assert tracker.claim([XUL], "one", ClientPlaces(most=1, first=1)) == [XUL]
    assert tracker.claim([XUL], "one", ClientPlaces(most=1, first=1)) == []
    assert tracker.get([XUL]) == ["asked"]


def test_memory_server_runs_scripts(client: redis.Redis) -> None:
    known = PresenceCache(client, RedisGuard("redis-cache"), lambda: PresenceLifetimes(100, 100, 100))
    lease = known.lease("a file")
    assert lease.lease
    known.store("a file", lease, None)
    assert known.get(["a file", "another"]) == [None, Unknown()]


class Hearer:
    def __init__(self) -> None:
        self.doubted, self.dropped = Event(), Event()

    def drop(self, module: ObjectId) -> None:
        assert module == XUL
        self.dropped.set()

    def invalidate_all(self) -> None:
        self.doubted.set()


def test_memory_subscriber_receives_messages(client: redis.Redis) -> None:
    hearer = Hearer()
    thread = InvalidationSubscriber(client, hearer, silence=0.01).start()
    assert hearer.doubted.wait(LATE)
    InvalidationPublisher(client, RedisGuard("redis-cache")).publish(XUL)
    assert hearer.dropped.wait(LATE)
    del hearer
    thread.join(LATE)
    assert not thread.is_alive()


def test_memory_subscriber_waits_for_its_timeout(client: redis.Redis) -> None:
    """And sends nothing meanwhile: a connection of fakeredis does not note when it was last used."""
    with client.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.subscribe("channel")
        assert channel.get_message(timeout=LATE)["type"] == "subscribe"
        assert channel.get_message(timeout=0.01) is None
        assert channel.health_check_response_counter == 0


@pytest.fixture
def queue(server: str) -> Iterator[Any]:
    untyped: Any = Connection
    with (
        untyped(f"memory://{server}/1", transport="tecken.demo.site:MemoryTransport") as connection,
        connection.SimpleQueue("jobs") as queue,
    ):
        yield queue


def test_demo_queue_jobs_are_taken_by_priority(queue: Any, server: str) -> None:
    queue.put("last", priority=9)
    queue.put("first", priority=0)
    queued = memory(server, 1)
    assert (queued.llen("jobs"), queued.llen("jobs\x06\x169")) == (1, 1)
    assert [queue.get(timeout=LATE).payload for _ in range(2)] == ["first", "last"]


def test_demo_queue_job_stays_until_it_is_acknowledged(queue: Any, server: str) -> None:
    queue.put("job")
    message = queue.get(timeout=LATE)
    queued = memory(server, 1)
    assert (queued.llen("jobs"), queued.hlen("unacked")) == (0, 1)
    message.ack()
    assert queued.hlen("unacked") == 0


def test_demo_queue_rejected_job_is_taken_again(queue: Any) -> None:
    queue.put("job")
    queue.get(timeout=LATE).requeue()
    assert queue.get(timeout=LATE).payload == "job"


def test_demo_queue_without_jobs_ends_the_wait(queue: Any) -> None:
    with pytest.raises(queue.Empty):
        queue.get(timeout=0.01)


CLAIM = """
import os, sys
from pathlib import Path
from tecken.demo import alone
print(alone.claim(Path(sys.argv[1])), flush=True)
"""


LOOK = CLAIM.replace("claim", "is_free")


def run(code: str, home: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(home)]
    return subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)


def test_claim_of_a_second_process_fails_until_the_first_ends(tmp_path: Path) -> None:
    home = tmp_path / "home"
    waits = f"{CLAIM}\nsys.stdin.read()"
    command = [sys.executable, "-c", waits, str(home)]
    first = subprocess.Popen(command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with first:
        assert first.stdout is not None
        assert first.stdout.readline() == "True\n"
        assert [run(code, home).stdout for code in (CLAIM, LOOK)] == ["False\n"] * 2
        first.kill()
    assert run(CLAIM, home).stdout == "True\n"
    assert list(home.iterdir()) == []


def test_is_free_does_not_claim(tmp_path: Path) -> None:
    assert run(f"{LOOK}{CLAIM}", tmp_path).stdout == "True\nTrue\n"
    assert run(LOOK, tmp_path / "not there").stdout == "True\n"


def test_claim_twice_in_one_process_succeeds(tmp_path: Path) -> None:
    assert run(CLAIM * 2, tmp_path).stdout == "True\nTrue\n"


def test_claim_ends_forked_children_at_once(tmp_path: Path) -> None:
    forks = f"{CLAIM}\nchild = os.fork()\nprint(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))"
    done = run(forks, tmp_path)
    assert done.stdout == f"True\n{os.EX_CONFIG}\n"
    assert done.stderr.startswith("❌ Demo mode refused: ")


def test_claim_does_not_end_started_commands(tmp_path: Path) -> None:
    runs = f"{CLAIM}\nimport subprocess\nprint(subprocess.run(['true']).returncode)"
    assert run(runs, tmp_path).stdout == "True\n0\n"


def test_settings_of_a_demo_use_memory() -> None:
    settings = load(DEMO_MODE="true", REDIS_URL="redis://somewhere")
    assert settings["REDIS_URL"] == "memory://redis-cache"
    assert settings["CACHES"]["store"]["LOCATION"] == "memory://redis-store/0"
    assert settings["RUNTIME_CONFIG_WATCHER"] == "file"
    assert len(settings["SECRET_KEY"]) > 50


def test_settings_of_a_demo_keep_a_given_secret_key() -> None:
    assert load(DEMO_MODE="true", SECRET_KEY="mine")["SECRET_KEY"] == "mine"


@pytest.mark.parametrize("demo", [True, False])
def test_pages_of_a_demo_show_warnings(settings: Settings, demo: bool) -> None:
    settings.DEMO_MODE = demo
    page = Client().post("/config/").content.decode()  # no user is logged in
    assert [warning in page for warning in WARNINGS] == [demo, demo]
