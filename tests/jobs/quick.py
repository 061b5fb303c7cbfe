"""Tasks that fail, and faster heartbeats, for a worker of a test: `--include tests.jobs.quick`."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django_redis import get_redis_connection

from tecken.jobs import worker
from tests.jobs.marks import DONE, wait_for_word

worker.INTERVAL_SECONDS = 0.5
worker.LOST_SECONDS = 4.0


def say(what: object) -> None:
    get_redis_connection("default").lpush(DONE, str(what))


@shared_task(name="kill")  # type: ignore[untyped-decorator]
def kill() -> None:
    say("kill")
    os.kill(os.getpid(), signal.SIGKILL)


@shared_task(name="fail")  # type: ignore[untyped-decorator]
def fail() -> None:
    say("fail")
    raise ZeroDivisionError("by zero")


@shared_task(name="stick", soft_time_limit=1, time_limit=2)  # type: ignore[untyped-decorator]
def stick() -> None:
    """Ignore the end of the time limit."""
    say("stick")
    while True:
        with suppress(SoftTimeLimitExceeded):
            time.sleep(60)


@shared_task(name="wait")  # type: ignore[untyped-decorator]
def wait(name: str) -> None:
    """End when the test allows it."""
    say(f"{name} began")
    wait_for_word("go")
    say(f"{name} ended")


@shared_task(name="hold")  # type: ignore[untyped-decorator]
def hold(pipe: str) -> None:
    """End when the test has written to a named pipe, or removed it. No server is needed for that."""
    say("hold")
    with suppress(FileNotFoundError):
        Path(pipe).read_bytes()
