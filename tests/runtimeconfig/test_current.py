"""Reads of the configuration by requests, jobs and tests."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from threading import Thread

import pytest
from pytest_django.fixtures import Settings

from tecken.errors import BadOption
from tecken.redisclient import client
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.runtimeconfig.backends import redis as keys
from tecken.runtimeconfig.current import is_under_maintenance, on_change, options, overridden, pinned
from tecken.runtimeconfig.snapshot import Subject
from tests.runtimeconfig.watching import put, wait_until
from tests.support.redis_server import RedisServer

ALICE, BOB = Subject("1", "alice@example.com"), Subject("2", "bob@example.com")


@pytest.fixture(autouse=True)
def clean_state() -> Iterator[None]:
    current.reset()
    yield
    current.reset()


def test_options_unset_have_their_defaults() -> None:
    assert options().symbolicate_max_jobs == 10
    assert (current.state().version, current.version(), current.state().stale) == (0, 0, False)


def test_options_after_a_change_in_memory_have_the_new_values() -> None:
    options()
    put(current.backend(), 3, symbolicate_max_jobs="20", log_level="none")
    assert options().symbolicate_max_jobs == 20
    state = current.state()
    assert (state.version, state.stamp, list(state.bad), state.watcher) == (
        3,
        "stamp 3",
        ["log_level"],
        "memory",
    )
    assert [one.version for one in current.backend().reports()] == [3]


def test_pinned_keeps_one_version_until_its_end() -> None:
    with pinned():
        put(current.backend(), 1, symbolicate_max_jobs="20")
        with pinned():
            assert (options().symbolicate_max_jobs, current.version()) == (10, 0)
        assert (options().symbolicate_max_jobs, current.version()) == (10, 0)
        assert current.state().version == 1
    assert (options().symbolicate_max_jobs, current.version()) == (20, 1)


def test_pinned_in_one_thread_leaves_other_threads_alone() -> None:
    with pinned(), ThreadPoolExecutor() as threads:
        put(current.backend(), 1, symbolicate_max_jobs="20")
        assert threads.submit(lambda: options().symbolicate_max_jobs).result() == 20
        assert options().symbolicate_max_jobs == 10


def test_repin_computes_rollouts_of_the_pinned_version() -> None:
    put(current.backend(), 1, full_tracing="users alice@example.com")
    with pinned(Subject("1")):
        assert not options().full_tracing
        put(current.backend(), 2, full_tracing="no", symbolicate_max_jobs="20")
        current.repin(ALICE)
        assert (options().full_tracing, options().symbolicate_max_jobs) == (True, 10)
        current.repin(BOB)
        assert not options().full_tracing
    assert not options().full_tracing
    current.repin(ALICE)
    assert not options().full_tracing


def test_pinned_inside_another_pin_may_have_another_subject() -> None:
    put(current.backend(), 1, full_tracing="users alice@example.com")
    with pinned(BOB):
        with pinned(ALICE):
            assert options().full_tracing
        assert not options().full_tracing


def test_pinned_with_texts_replaces_values_and_windows() -> None:
    now = datetime.now(UTC).replace(microsecond=0)
    window = f"symbolicate_max_jobs@{now.isoformat()}/{(now + timedelta(hours=1)).isoformat()}"
    put(current.backend(), 1, **{window: "20", "full_tracing": "users alice@example.com"})
    with pinned(Subject("1")):
        with pinned(texts={"symbolicate_max_jobs": "30"}):
            current.repin(ALICE)
            assert (options().symbolicate_max_jobs, options().full_tracing, current.version()) == (
                30,
                True,
                1,
            )
        assert (options().symbolicate_max_jobs, options().full_tracing) == (20, False)
    with pinned(texts={"symbolicate_max_jobs": "30"}):
        assert options().symbolicate_max_jobs == 30
    assert options().symbolicate_max_jobs == 20


@pytest.mark.parametrize("texts", [{"symbolicate_max_jobs": "many"}, {"no_such": "1"}])
def test_pinned_with_texts_of_invalid_text_raises(texts: dict[str, str]) -> None:
    with pytest.raises(BadOption), pinned(texts=texts):
        pass


def test_overridden_replaces_values_in_all_threads() -> None:
    values: list[int] = []
    on_change("symbolicate_max_jobs", values.append)
    with overridden(symbolicate_max_jobs=2, absent_seconds="10m"):
        with ThreadPoolExecutor() as threads:
            assert threads.submit(lambda: options().symbolicate_max_jobs).result() == 2
        with pinned(), overridden(log_level="ERROR"):
            assert (options().symbolicate_max_jobs, options().log_level) == (2, "INFO")
        with overridden(symbolicate_max_jobs=3):
            assert options().symbolicate_max_jobs == 3
        assert (options().symbolicate_max_jobs, options().absent_seconds) == (2, 600.0)
        put(current.backend(), 1, symbolicate_max_jobs="20")
        assert options().symbolicate_max_jobs == 20
    assert options().symbolicate_max_jobs == 20
    assert values == [10, 2, 3, 2, 20]


@pytest.mark.parametrize(
    "wrong", [{"no_such": 1}, {"symbolicate_max_jobs": "many"}, {"symbolicate_max_jobs": 0}]
)
def test_overridden_with_invalid_value_raises(wrong: dict[str, object]) -> None:
    with pytest.raises(BadOption), overridden(**wrong):
        pass


def test_on_change_calls_the_function_now_and_for_each_new_value() -> None:
    values: list[str] = []
    on_change("log_level", values.append)
    put(current.backend(), 1, log_level="ERROR")
    put(current.backend(), 2, log_level="ERROR", symbolicate_max_jobs="20")
    put(current.backend(), 3)
    assert values == ["INFO", "ERROR", "INFO"]


def test_on_change_function_can_read_the_new_values() -> None:
    values: list[int] = []
    on_change("log_level", lambda _: values.append(options().symbolicate_max_jobs))
    put(current.backend(), 1, log_level="ERROR", symbolicate_max_jobs="20")
    assert values == [10, 20]


def test_on_change_of_an_unknown_option_raises() -> None:
    with pytest.raises(BadOption, match="no_such"):
        on_change("no_such", print)


def test_maintenance_of_any_text_is_in_force() -> None:
    assert not is_under_maintenance()
    assert not current.is_shut()
    current.backend().set_maintenance("full", "", None)
    assert is_under_maintenance()
    assert current.is_shut()
    assert (current.maintenance(), current.uploads_closed()) == (Maintenance(), None)
    current.backend().set_maintenance("full", None, None)
    current.backend().set_maintenance("uploads", format_maintenance(Maintenance("Moving house", 90.0)), None)
    assert (current.maintenance(), current.uploads_closed()) == (None, Maintenance("Moving house", 90.0))


def test_maintenance_past_its_end_is_over_without_a_poll() -> None:
    past = Maintenance(until=datetime.now(UTC) - timedelta(seconds=1))
    current.backend().set_maintenance("full", format_maintenance(past), None)
    assert not is_under_maintenance()


def test_window_begins_and_ends_on_time(settings: Settings, tmp_path: Path) -> None:
    settings.RUNTIME_CONFIG_WATCHER = "file"
    settings.RUNTIME_CONFIG_FILE = str(tmp_path / "config.json")
    settings.RUNTIME_CONFIG_INTERVAL_SECONDS = 0.05
    # Two seconds: on a busy machine the watcher may not run for one.
    start = datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1)
    end = start + timedelta(seconds=2)
    values: list[int] = []
    on_change("symbolicate_max_jobs", values.append)
    put(current.backend(), 1, **{f"symbolicate_max_jobs@{start.isoformat()}/{end.isoformat()}": "20"})
    wait_until(lambda: values == [10, 20, 10])


def test_options_with_an_unreadable_file_keep_the_last_values(settings: Settings, tmp_path: Path) -> None:
    path = tmp_path / "new" / "config.json"
    settings.RUNTIME_CONFIG_WATCHER, settings.RUNTIME_CONFIG_FILE = "file", str(path)
    settings.RUNTIME_CONFIG_INTERVAL_SECONDS = 0.05
    assert options().symbolicate_max_jobs == 10
    path.write_text('{"version": 1, "texts": {"symbolicate_max_jobs": "20"}}')
    wait_until(lambda: options().symbolicate_max_jobs == 20)
    path.write_text("}")
    wait_until(lambda: current.state().stale)
    assert options().symbolicate_max_jobs == 20
    path.write_text('{"version": 2, "texts": {"symbolicate_max_jobs": "30"}}')
    wait_until(lambda: options().symbolicate_max_jobs == 30 and not current.state().stale)
    assert current.state().watcher == "file"


@pytest.mark.parametrize(("url", "watcher"), [("redis://localhost", "redis"), ("", "file")])
def test_state_watcher_depends_on_redis_url(
    settings: Settings, tmp_path: Path, url: str, watcher: str
) -> None:
    settings.RUNTIME_CONFIG_FILE = str(tmp_path / "config.json")
    settings.RUNTIME_CONFIG_URL = "redis://127.0.0.1:1/2"
    settings.RUNTIME_CONFIG_WATCHER, settings.REDIS_URL = "", url
    assert current.state().watcher == watcher


@pytest.fixture
def server(settings: Settings) -> Iterator[RedisServer]:
    with RedisServer() as running:
        settings.RUNTIME_CONFIG_URL = running.url.removesuffix("/0") + "/2"
        settings.RUNTIME_CONFIG_WATCHER = "redis"
        settings.RUNTIME_CONFIG_INTERVAL_SECONDS = 0.1
        settings.REDIS_TIMEOUT_SECONDS = settings.REDIS_CONNECT_TIMEOUT_SECONDS = 0.3
        yield running
        current.reset()


def test_maintenance_key_set_by_redis_cli_is_followed(server: RedisServer) -> None:
    assert not is_under_maintenance()
    with client(f"redis://127.0.0.1:{server.port}/2", timeout=5, connect_timeout=5) as raw:
        raw.set("is-under-maintenance", "x")
        wait_until(is_under_maintenance)
        raw.delete("is-under-maintenance")
        wait_until(lambda: not is_under_maintenance())


def test_options_are_read_without_a_request_to_redis(server: RedisServer) -> None:
    options()
    with client(f"redis://127.0.0.1:{server.port}/2", timeout=5, connect_timeout=5) as raw:
        raw.config_resetstat()
        for _ in range(10_000):
            assert options().symbolicate_max_jobs == 10
            assert not is_under_maintenance()
        assert sum(found["calls"] for found in raw.info("commandstats").values()) < 100


def test_options_with_a_frozen_server_are_stale_and_readable(server: RedisServer) -> None:
    put(current.backend(), 1, symbolicate_max_jobs="20")
    wait_until(lambda: options().symbolicate_max_jobs == 20)
    assert not current.state().stale
    server.pause()
    wait_until(lambda: current.state().stale)
    assert options().symbolicate_max_jobs == 20
    server.resume()
    wait_until(lambda: not current.state().stale)


def test_start_replaces_a_watcher_that_has_stopped(server: RedisServer) -> None:
    options()
    current.start()
    current._runtime.process.stop()
    wait_until(lambda: current.state().stale)
    current.start()
    wait_until(lambda: not current.state().stale)


def test_options_first_read_by_many_threads_starts_one_watcher(server: RedisServer) -> None:
    threads = [Thread(target=options) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with client(f"redis://127.0.0.1:{server.port}/2", timeout=5, connect_timeout=5) as raw:
        wait_until(lambda: raw.pubsub_numsub("tecken:config")[0][1] == 1)
        assert raw.info("commandstats")["cmdstat_subscribe"]["calls"] == 1
        assert raw.exists(keys.VERSION_KEY) == 0
