"""A watcher in this process, and failures of a real server."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Mapping
from itertools import count
from threading import Event

import pytest
import redis
from prometheus_client import REGISTRY

from tecken.errors import Unavailable
from tecken.redisclient import client
from tecken.runtimeconfig.backend import Change, ConfigHead
from tecken.runtimeconfig.backends import redis as keys
from tecken.runtimeconfig.backends.redis import RedisBackend
from tecken.runtimeconfig.process import ConfigBackend, Process, process_name
from tests.runtimeconfig.backends import MemoryBackend
from tests.runtimeconfig.watching import LONGEST, put, wait_until
from tests.support.redis_server import MUTE_AFTER, RedisServer

CHANNEL = "test:config"
INTERVAL = 0.1
# Seconds between two polls, for tests in which only messages deliver changes.
NEVER = 3600.0


class Database:
    """Database with which the watcher reconciles."""

    def __init__(self) -> None:
        self.asked = 0
        self.away = False
        self.settle: Callable[[], None] = lambda: None

    def reconcile(self) -> bool:
        self.asked += 1
        if not self.away:
            self.settle()
        return not self.away


@pytest.fixture(scope="module")
def running() -> Iterator[RedisServer]:
    with RedisServer() as server:
        yield server


@pytest.fixture
def server(running: RedisServer) -> Iterator[RedisServer]:
    with client(running.url, timeout=5, connect_timeout=5) as connected:
        connected.flushall()
    yield running
    running.stop()
    running.start()


@pytest.fixture
def raw(server: RedisServer) -> Iterator[redis.Redis]:
    """Return a client for changes by hand, as with redis-cli."""
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        yield connected


@pytest.fixture
def backend(server: RedisServer) -> Iterator[RedisBackend]:
    """Return the backend of the writers."""
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        yield RedisBackend(connected, CHANNEL)


@pytest.fixture
def process() -> Process:
    return Process()


@pytest.fixture
def database() -> Database:
    return Database()


Watch = Callable[..., None]


@pytest.fixture
def watch(server: RedisServer, process: Process, database: Database) -> Iterator[Watch]:
    """Return a function that starts a watcher and waits until it has subscribed."""

    def start(backend: ConfigBackend | None = None, interval: float = INTERVAL) -> None:
        connected = client(server.url, timeout=MUTE_AFTER, connect_timeout=MUTE_AFTER)
        process.kind = "web"
        process.start(backend or RedisBackend(connected, CHANNEL), interval, database.reconcile)

    yield start
    process.stop()


def jobs(process: Process) -> int:
    assert process.options is not None
    return process.options.symbolicate_max_jobs


def wait_for_jobs(process: Process, wanted: int) -> None:
    wait_until(lambda: jobs(process) == wanted)


def listeners(raw: redis.Redis, channel: str = CHANNEL) -> int:
    return int(raw.pubsub_numsub(channel)[0][1])


def counted(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"tecken_config_{name}_total", labels) or 0.0


def test_watcher_applies_a_change_from_its_message(
    watch: Watch, process: Process, backend: RedisBackend
) -> None:
    polls, before = counted("refresh", result="look"), counted("refresh", result="message")
    watch(interval=NEVER)
    # Two at the start, and one that follows the subscription: it could overtake the first message.
    wait_until(lambda: counted("refresh", result="look") - polls == 3)
    for number in range(1, 101):
        put(backend, number, symbolicate_max_jobs=str(number))
        wait_for_jobs(process, number)
    assert counted("refresh", result="message") - before == 100


def test_watcher_finds_a_change_from_before_the_subscription(
    watch: Watch, process: Process, backend: RedisBackend
) -> None:
    put(backend, 7, symbolicate_max_jobs="20")
    watch(interval=NEVER)
    assert jobs(process) == 20


def test_watcher_applies_several_options_at_once(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis
) -> None:
    seen: list[tuple[int, int]] = []
    watch()
    wait_until(lambda: listeners(raw))

    def note(_value: object) -> None:
        assert process.options is not None
        seen.append((process.options.symbolicate_max_jobs, process.options.symbolicate_max_frames))

    process.follow("symbolicate_max_jobs", note)
    process.follow("symbolicate_max_frames", note)
    for number in range(1, 51):
        put(backend, number, symbolicate_max_jobs=str(number), symbolicate_max_frames=str(number))
    wait_until(lambda: jobs(process) == 50)
    assert all(one == other for one, other in seen[2:])


def test_watcher_cut_during_a_change_misses_nothing(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis
) -> None:
    watch()
    for number in range(1, 31):
        if number % 2:
            raw.client_kill_filter(_type="pubsub")
        put(backend, number, symbolicate_max_jobs=str(number))
        if not number % 2:
            raw.client_kill_filter(_type="pubsub")
        wait_for_jobs(process, number)
    wait_until(lambda: listeners(raw))


def test_watcher_that_cannot_subscribe_finds_changes_by_polling(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis
) -> None:
    """The gap between two subscriptions, which lasts as long as the test wants."""
    watch()
    wait_until(lambda: listeners(raw))
    raw.execute_command("ACL", "SETUSER", "default", "-subscribe")  # type: ignore[no-untyped-call]
    raw.client_kill_filter(_type="pubsub")
    wait_until(lambda: not listeners(raw))
    for number in range(1, 11):
        put(backend, number, symbolicate_max_jobs=str(number))
        wait_for_jobs(process, number)
    raw.execute_command("ACL", "SETUSER", "default", "+subscribe")  # type: ignore[no-untyped-call]
    wait_until(lambda: listeners(raw))


def test_watcher_without_message_finds_and_counts_a_change(
    watch: Watch, process: Process, server: RedisServer, backend: RedisBackend, raw: redis.Redis
) -> None:
    messages = counted("refresh", result="message")
    watch()
    wait_until(lambda: listeners(raw))
    numbers = count(1)

    def hear() -> bool:
        number = next(numbers)
        put(backend, number, symbolicate_max_jobs="10")
        wait_until(lambda: process.snapshot.version == number)
        return counted("refresh", result="message") > messages

    # The server has a subscription a moment before the watcher counts what it misses.
    wait_until(hear)
    missed = counted("missed_hints")
    with client(server.url, timeout=5, connect_timeout=5) as connected:
        put(RedisBackend(connected, "another channel"), next(numbers), symbolicate_max_jobs="20")
        wait_until(lambda: jobs(process) == 20)
    wait_until(lambda: counted("missed_hints") - missed == 1)


def test_watcher_change_by_hand_is_applied_and_reconciled(
    watch: Watch, process: Process, database: Database, backend: RedisBackend, raw: redis.Redis
) -> None:
    put(backend, 7, symbolicate_max_jobs="20")
    watch()
    wait_until(lambda: database.asked)

    def adopt() -> None:
        if not backend.read().stamp:
            put(backend, 9, symbolicate_max_jobs="30")

    database.settle = adopt
    raw.hset(keys.VALUES_KEY, "symbolicate_max_jobs", "30")
    raw.incr(keys.VERSION_KEY)
    wait_until(lambda: jobs(process) == 30)
    wait_until(lambda: process.snapshot.stamp == "stamp 9")


def test_watcher_frozen_server_is_unreachable(
    watch: Watch, process: Process, server: RedisServer, backend: RedisBackend
) -> None:
    put(backend, 1, symbolicate_max_jobs="20")
    watch()
    server.pause()
    wait_until(lambda: not process.is_reachable)
    assert jobs(process) == 20
    server.resume()
    wait_until(lambda: process.is_reachable)
    put(backend, 2, symbolicate_max_jobs="30")
    wait_until(lambda: jobs(process) == 30)


def test_watcher_empty_server_after_restart_is_refilled(
    watch: Watch,
    process: Process,
    server: RedisServer,
    backend: RedisBackend,
    database: Database,
    raw: redis.Redis,
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    watch()
    wait_until(lambda: listeners(raw) and database.asked)
    server.stop()
    wait_until(lambda: not process.is_reachable)
    refilled = Event()

    def refill() -> None:
        if not backend.read().version:
            put(backend, 8, symbolicate_max_jobs="20")
            refilled.set()

    database.settle = refill
    server.start()
    assert refilled.wait(LONGEST)
    wait_until(lambda: process.is_reachable and listeners(raw))
    assert (jobs(process), process.snapshot.version) == (20, 8)
    put(backend, 9, symbolicate_max_jobs="30")
    wait_until(lambda: jobs(process) == 30)


def test_watcher_after_flushall_keeps_the_values(
    watch: Watch, process: Process, backend: RedisBackend, database: Database, raw: redis.Redis
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    given: list[int] = []
    watch()
    process.follow("symbolicate_max_jobs", given.append)
    wait_until(lambda: database.asked)
    before = database.asked
    raw.flushall()
    wait_until(lambda: database.asked > before + 1)  # also the second time: there is still nothing
    assert (given, process.snapshot.version) == ([20], 8)


def test_watcher_older_version_confirmed_by_the_database_is_applied(
    watch: Watch, process: Process, backend: RedisBackend, database: Database
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    watch()
    wait_until(lambda: database.asked)
    database.away = True
    before = database.asked
    put(backend, 5, symbolicate_max_jobs="15")
    wait_until(lambda: database.asked > before + 1)
    assert jobs(process) == 20
    database.away = False
    wait_until(lambda: jobs(process) == 15)
    assert process.snapshot.version == 5


def test_watcher_older_version_with_a_newer_one_in_the_database_is_not_applied(
    watch: Watch, process: Process, backend: RedisBackend, database: Database
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    given: list[int] = []
    watch()
    wait_until(lambda: database.asked)
    process.follow("symbolicate_max_jobs", given.append)
    refilled = Event()

    def refill() -> None:
        put(backend, 8, symbolicate_max_jobs="20")
        refilled.set()

    database.settle = refill
    put(backend, 5, symbolicate_max_jobs="15")
    assert refilled.wait(LONGEST)
    put(backend, 9, symbolicate_max_jobs="30")
    wait_until(lambda: jobs(process) == 30)
    assert given == [20, 30]


def test_watcher_same_version_with_another_stamp_is_applied(
    watch: Watch, process: Process, backend: RedisBackend
) -> None:
    """A failover that lost the version in force leaves this state."""
    put(backend, 8, "before", symbolicate_max_jobs="20")
    watch()
    put(backend, 8, "after", symbolicate_max_jobs="30")
    wait_until(lambda: (jobs(process), process.snapshot.stamp) == (30, "after"))


@pytest.mark.parametrize(
    "message",
    [
        "hello",
        json.dumps({"version": 3, "stamp": "stamp 3", "texts": {"symbolicate_max_jobs": "3"}}),
        json.dumps({"version": 8, "stamp": "another", "texts": {"symbolicate_max_jobs": "3"}}),
    ],
    ids=["malformed", "older", "another"],
)
def test_watcher_message_that_is_not_newer_causes_a_poll(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis, message: str
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    given: list[int] = []
    looks = counted("refresh", result="look")
    watch(interval=NEVER)
    wait_until(lambda: counted("refresh", result="look") - looks == 3)  # at first, in the thread, subscribed
    process.follow("symbolicate_max_jobs", given.append)
    # In one transaction: the watcher could look between two messages that come one after the other.
    with raw.pipeline() as pipe:
        for _ in range(100):
            pipe.publish(CHANNEL, message)
        pipe.execute()
    put(backend, 9, symbolicate_max_jobs="30")
    wait_until(lambda: jobs(process) == 30)
    assert counted("refresh", result="look") - looks == 4  # however many ask for it
    assert given == [20, 30]


def test_watcher_forged_message_is_undone_by_the_next_poll(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis
) -> None:
    put(backend, 8, symbolicate_max_jobs="20")
    watch()
    wait_until(lambda: listeners(raw))
    forged = {"version": 10**9, "stamp": "x", "texts": {"symbolicate_max_jobs": "999"}}
    raw.publish(CHANNEL, json.dumps(forged))
    wait_until(lambda: jobs(process) == 999)
    wait_until(lambda: jobs(process) == 20)


def test_watcher_maintenance_by_hand_is_applied(watch: Watch, process: Process, raw: redis.Redis) -> None:
    watch()
    raw.set("is-under-maintenance", "")
    wait_until(lambda: process.maintenance("full"))
    raw.delete("is-under-maintenance")
    wait_until(lambda: not process.maintenance("full"))


def test_watcher_maintenance_is_applied_from_its_message(
    watch: Watch, process: Process, backend: RedisBackend, raw: redis.Redis
) -> None:
    watch(interval=NEVER)
    wait_until(lambda: listeners(raw))
    backend.set_maintenance("uploads", "x", None)
    wait_until(lambda: process.maintenance("uploads"))
    assert process.maintenance("full") is None


def test_watcher_started_without_server_has_defaults_until_it_responds(
    watch: Watch, process: Process, server: RedisServer, backend: RedisBackend
) -> None:
    server.stop()
    watch()
    assert (jobs(process), process.is_reachable) == (10, False)
    server.start()
    put(backend, 1, symbolicate_max_jobs="20")
    wait_until(lambda: jobs(process) == 20 and process.is_reachable)


def test_watcher_invalid_text_is_counted_and_logged_once(
    watch: Watch, process: Process, backend: RedisBackend, caplog: pytest.LogCaptureFixture
) -> None:
    bad = counted("bad_values")
    put(backend, 1, symbolicate_max_jobs="many", no_such_option="1", log_level="ERROR")
    watch()
    ticks = counted("refresh", result="look")
    wait_until(lambda: counted("refresh", result="look") > ticks + 3)
    assert process.options is not None
    assert (jobs(process), process.options.log_level) == (10, "ERROR")
    assert sorted(process.snapshot.bad) == ["no_such_option", "symbolicate_max_jobs"]
    assert counted("bad_values") - bad == 2
    assert len([one for one in caplog.records if "ignored" in one.message]) == 2


def test_watcher_reports_the_version_in_force(watch: Watch, backend: RedisBackend, raw: redis.Redis) -> None:
    put(backend, 1, symbolicate_max_jobs="many")
    watch()
    wait_until(lambda: listeners(raw))
    put(backend, 2, symbolicate_max_jobs="20")
    wait_until(lambda: [one.version for one in backend.reports()] == [2])
    report = backend.reports()[0]
    assert (report.process, report.kind, report.stamp, report.bad) == (process_name(), "web", "stamp 2", 0)


def test_watcher_poll_is_one_command(watch: Watch, raw: redis.Redis) -> None:
    raw.config_resetstat()
    looks = counted("refresh", result="look")
    watch(interval=0.02)
    wait_until(lambda: counted("refresh", result="look") - looks >= 100)
    calls = {name: found["calls"] for name, found in raw.info("commandstats").items()}
    assert calls.pop("cmdstat_mget") - (counted("refresh", result="look") - looks) <= 1
    ours = {name: number for name, number in calls.items() if name.split("|")[0] not in NOT_OURS}
    assert sum(ours.values()) <= 4  # SUBSCRIBE, and a report each 5 s


NOT_OURS = {"cmdstat_info", "cmdstat_config", "cmdstat_client", "cmdstat_hello", "cmdstat_pubsub"}


class Odd(MemoryBackend):
    """Backend that fails with unexpected errors."""

    odd: Mapping[str, Exception] = {}

    def head(self) -> ConfigHead:
        for error in self.odd.values():
            raise error
        return super().head()


def test_watcher_error_does_not_end_the_thread(
    watch: Watch, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    backend = Odd()
    watch(backend)
    failed = counted("refresh", result="failed")
    backend.odd = {"": RuntimeError("a mistake of ours")}
    wait_until(lambda: "a mistake of ours" in caplog.text)
    backend.odd = {"": Unavailable("away")}
    wait_until(lambda: counted("refresh", result="failed") > failed)
    backend.odd = {}
    put(backend, 1, symbolicate_max_jobs="20")
    wait_until(lambda: jobs(process) == 20)
    assert process.is_alive()


def test_watcher_failing_follower_is_logged_and_others_are_called(
    watch: Watch, process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    backend = MemoryBackend()
    watch(backend)
    values: list[int] = []

    def fail(_value: object) -> None:
        raise ValueError("a follower's mistake")

    process.follow("symbolicate_max_jobs", fail)
    process.follow("symbolicate_max_jobs", values.append)
    put(backend, 1, symbolicate_max_jobs="20")
    wait_until(lambda: process.snapshot.version == 1)
    put(backend, 2, symbolicate_max_jobs="20", log_level="ERROR")
    wait_until(lambda: process.snapshot.version == 2)
    put(backend, 3, symbolicate_max_jobs="30")
    wait_until(lambda: values == [10, 20, 30])
    assert "a follower's mistake" in caplog.text


def test_watcher_unreachable_server_is_logged_once(
    watch: Watch, process: Process, server: RedisServer, caplog: pytest.LogCaptureFixture
) -> None:
    watch()
    server.stop()
    failed = counted("refresh", result="failed")
    wait_until(lambda: counted("refresh", result="failed") > failed + 3)
    warnings = [one.message for one in caplog.records if one.levelno >= logging.WARNING]
    assert len([one for one in warnings if "stays in force" in one]) == 1


def test_watcher_writes_during_a_poll_are_applied_in_order(
    watch: Watch, process: Process, backend: RedisBackend
) -> None:
    """Messages and polls overlap; no version is followed by an older one."""
    seen: list[int] = []
    watch(interval=0.01)
    process.follow("symbolicate_max_jobs", seen.append)
    for number in range(1, 301):
        change = Change(number, f"stamp {number}", "", "", "", "")
        backend.write(change, {"symbolicate_max_jobs": str(100 + number)}, expected=number - 1)
    wait_until(lambda: jobs(process) == 400)
    assert seen == sorted(seen)


def test_watcher_of_a_server_that_takes_writes_again_reconciles(
    watch: Watch, process: Process, raw: redis.Redis, database: Database
) -> None:
    watch()
    wait_until(lambda: process.is_reachable and database.asked)
    raw.replicaof("127.0.0.1", "1")
    process.reconcile_soon()
    asked = database.asked
    raw.replicaof("NO", "ONE")
    wait_until(lambda: database.asked > asked)
