"""Checks of docs/jobs.md against the code."""

from __future__ import annotations

import io
import re

import pytest
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError

from tecken.jobs import beat, worker
from tecken.jobs.keys import QUEUES
from tecken.jobs.task import FULL_DISK_PAUSE, TRIES_WITH_FULL_DISK, pause
from tecken.settings import BASE_DIR
from tecken.symbolication.tasks import FIRST_PAUSE, TRIES_AGAIN

TEXT = (BASE_DIR / "docs" / "jobs.md").read_text()
FLAT = " ".join(TEXT.split())


def test_document_has_the_numbers_of_the_code() -> None:
    for phrase in (
        f"A job that no worker has recorded for {worker.LOST_SECONDS:.0f} s returns to its queue",
        f"a lock ({beat.LEASE_SECONDS:.0f} s, renewed every {beat.RENEW_SECONDS:.0f} s)",
        f"({settings.CELERY_VISIBILITY_TIMEOUT // 60} minutes:".replace("(", "(here "),
        f"into each queue every {settings.CELERY_BEAT_SCHEDULE['canary-convert']['schedule']:.0f} s",
        "is ended 30 s later",
        "Every five seconds",
        "tried again six times",
        "six times, 7 to 15 s at first, 4 to 8 minutes in the end |",
    ):
        assert phrase in FLAT
    assert settings.CELERY_TASK_TIME_LIMIT - settings.CELERY_TASK_SOFT_TIME_LIMIT == 30
    assert (worker.INTERVAL_SECONDS, TRIES_AGAIN) == (5, 6)
    assert 7 <= pause(FIRST_PAUSE, 0) <= 15
    assert 4 * 60 <= pause(FIRST_PAUSE, TRIES_AGAIN - 1) <= 8 * 60
    assert (FULL_DISK_PAUSE, TRIES_WITH_FULL_DISK) == (FIRST_PAUSE, TRIES_AGAIN)


def test_document_lists_all_queues() -> None:
    assert tuple(re.findall(r"^\| `(\w+)` \|", TEXT, re.MULTILINE)) == QUEUES


@pytest.mark.usefixtures("clear_redis_cache")
@pytest.mark.parametrize("line", re.findall(r"^\$ ./manage.py (jobs .+)$", TEXT, re.MULTILINE))
def test_document_commands_exist(line: str) -> None:
    """Each command is valid; it reports that the documented id does not exist."""
    try:
        call_command(*line.split(), stdout=io.StringIO())
    except CommandError as error:
        assert "there is no dead letter 4f1c" in str(error)  # noqa: PT017 - the others end well


def test_document_names_existing_tests() -> None:
    tests = "".join(path.read_text() for path in (BASE_DIR / "tests" / "jobs").glob("test_*.py"))
    assert all(f"def {name}(" in tests for name in re.findall(r"`(test_\w+)`", TEXT))
