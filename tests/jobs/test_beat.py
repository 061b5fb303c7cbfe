from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from redis.lock import Lock

from tecken.celery import app
from tecken.jobs.beat import LAST, LEASE_SECONDS, RENEW_SECONDS, OneBeat
from tecken.jobs.keys import BEAT, SCHEDULED
from tecken.redisclient import services as redis_services
from tecken.settings import CELERY_BEAT_SCHEDULE
from tests.support.queue_away import queue_away

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.usefixtures("clear_redis_cache")


@pytest.fixture(autouse=True)
def schedule() -> Iterator[None]:
    """Return a schedule with one job each hour."""
    kept = app.conf.beat_schedule
    app.conf.beat_schedule = {"hourly": {"task": "any", "schedule": 3600.0}}
    yield
    app.conf.beat_schedule = kept


def beat() -> OneBeat:
    return OneBeat(app, max_interval=300)


def ticks(one: OneBeat, times: int = 3) -> float:
    return max(one.tick() for _ in range(times))


def sent() -> int:
    return int(redis_services.queue_client().llen("housekeeping"))


def test_beats_with_one_lock_send_once() -> None:
    fleet = [beat() for _ in range(3)]
    for _ in range(3):
        assert all(0 <= one.tick() <= RENEW_SECONDS for one in fleet)
    assert sent() == 1


def test_tick_renews_the_lock() -> None:
    one = beat()
    ticks(one)
    redis_services.queue_client().pexpire(BEAT, 1_000)
    ticks(one)
    left = redis_services.queue_client().pttl(BEAT)
    assert 1_000 < left <= LEASE_SECONDS * 1000


def test_second_beat_continues_the_schedule_of_the_first() -> None:
    one, other = beat(), beat()
    ticks(one)
    one.close()
    assert ticks(other) <= RENEW_SECONDS
    assert redis_services.queue_client().exists(BEAT)
    assert sent() == 1
    redis_services.queue_client().hincrbyfloat(LAST, "hourly", -3600)
    other.close()
    ticks(beat())
    assert sent() == 2


def test_beat_after_one_whose_clock_was_ahead_sends_after_one_interval() -> None:
    redis_services.queue_client().hset(LAST, "hourly", time.time() + 86_400)
    one = beat()
    ticks(one)
    (entry,) = one.schedule.values()
    due = entry.is_due()
    assert sent() == 0
    assert 0 < due.next <= 3600


def test_beat_that_a_signal_ends_while_it_acquires_the_lock_releases_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    one, acquire = beat(), Lock.acquire

    def interrupted(lock: Lock, **options: Any) -> bool:
        acquire(lock, **options)
        raise SystemExit

    monkeypatch.setattr(Lock, "acquire", interrupted)
    with pytest.raises(SystemExit):
        one.tick()
    assert redis_services.queue_client().exists(BEAT)
    one.close()
    assert not redis_services.queue_client().exists(BEAT)


def test_beat_that_did_not_get_the_lock_leaves_it_to_its_owner() -> None:
    one, other = beat(), beat()
    ticks(one)
    ticks(other)
    other.close()
    assert redis_services.queue_client().exists(BEAT)


def test_beat_that_lost_the_lock_sends_nothing() -> None:
    one, other = beat(), beat()
    ticks(one)
    # This is the state after the beat was frozen for longer than its lease.
    redis_services.queue_client().delete(BEAT, LAST)
    ticks(other)
    assert sent() == 2
    redis_services.queue_client().delete(LAST)
    ticks(one)
    assert sent() == 2


def test_entry_that_failed_is_sent_by_a_later_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    one = beat()

    def refuse(*_arguments: Any, **_options: Any) -> None:
        raise ConnectionError("refused")

    with monkeypatch.context() as patch:
        patch.setattr(one, "send_task", refuse)
        ticks(one)
    assert sent() == 0
    ticks(one)
    assert sent() == 1


def test_tick_without_redis_waits() -> None:
    with queue_away():
        assert ticks(beat()) == RENEW_SECONDS
    assert sent() == 0


def test_schedule_entries_have_an_expiry() -> None:
    """Without an expiry, jobs would accumulate, and each failure would be a dead letter."""
    entries: dict[str, Any] = CELERY_BEAT_SCHEDULE
    assert [name for name, entry in entries.items() if not entry["options"]["expires"]] == []


def test_schedule_entries_name_existing_tasks() -> None:
    app.loader.import_default_modules()
    assert {entry["task"] for entry in CELERY_BEAT_SCHEDULE.values()} <= set(app.tasks)


def test_beat_records_its_jobs_as_scheduled() -> None:
    ticks(beat())
    assert redis_services.queue_client().zcard(SCHEDULED) == 1


def test_beat_logs_sent_jobs_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("DEBUG"):
        ticks(beat())
    levels = {record.levelname for record in caplog.records if "hourly" in record.getMessage()}
    assert levels == {"DEBUG"}


def test_worker_with_embedded_beat_ends_with_a_reason() -> None:
    done = start("worker", "--beat")
    assert done.returncode == os.EX_CONFIG
    assert "a worker cannot run beat (--beat, -B); start beat as a process of its own" in done.stderr
    assert "Traceback" not in done.stderr


def start(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "celery", "--quiet", "-A", "tecken", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=ROOT)
