"""Run of the doctor in a thread of a web process, whose progress every process can read.

One run at a time in the whole fleet, and a pause after each: a run sends requests and writes files, and
others must not pay for one person who repeats it. The lock and the results are on redis-cache. The lock
expires, so a process that ends during a run blocks the next one for a minute at most.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread
from typing import Any, NamedTuple

from django.conf import settings
from django.core.cache import cache

from tecken.doctor.checks import CheckResult
from tecken.doctor.report import CHECK_IDS, build_document, check_url, diagnose
from tecken.errors import InvalidInput, Unavailable
from tecken.redisclient.services import cache_guard

logger = logging.getLogger(__name__)
LOCK_KEY, RUN_KEY = "doctor:lock", "doctor:run"
# A run takes at most a minute, and without a result for longer its process has ended.
LONGEST_SECONDS = 70
PAUSE_SECONDS = 30
KEPT_SECONDS = 86_400


class Run(NamedTuple):
    """Last run: who started it, when, its document so far, and whether it is over."""

    by: str
    started: datetime
    document: dict[str, Any]
    is_over: bool

    @property
    def is_running(self) -> bool:
        """Return whether its process may still run it."""
        return not self.is_over and (datetime.now(UTC) - self.started).total_seconds() < LONGEST_SECONDS

    @property
    def pending(self) -> list[str]:
        """Return the checks without a result."""
        known = {check["id"] for check in self.document["checks"]}
        return [name for name in CHECK_IDS if name not in known]


def start(by: str) -> bool:
    """Start a run, and return whether that was allowed: no other one runs, or ended a moment ago.

    Raises Unavailable when redis-cache does not answer.
    """
    if not cache_guard().call(lambda: cache.add(LOCK_KEY, by, LONGEST_SECONDS)):
        return False
    started = datetime.now(UTC)
    _store(by, started, [], is_over=False)
    Thread(target=_run, args=(by, started), name="doctor", daemon=True).start()
    return True


def last_run() -> Run | None:
    """Return the last run of a day. Raises Unavailable when redis-cache does not answer."""
    row = cache_guard().call(lambda: cache.get(RUN_KEY))
    return (
        Run(row["by"], datetime.fromisoformat(row["started"]), row["document"], row["is_over"])
        if row
        else None
    )


def find_url() -> str:
    """Return TECKEN_URL; empty when it is not set, or malformed."""
    try:
        return check_url(settings.TECKEN_URL) if settings.TECKEN_URL else ""
    except InvalidInput:
        logger.warning("TECKEN_URL is malformed; the doctor does not use it")
        return ""


def _run(by: str, started: datetime) -> None:
    results: list[CheckResult] = []
    # The checks continue without redis-cache, although their results cannot be read then.
    for result in diagnose(find_url(), in_site=True):
        results.append(result)
        with suppress(Unavailable):
            _store(by, started, results, is_over=False)
    with suppress(Unavailable):
        _store(by, started, results, is_over=True)
        cache_guard().call(lambda: cache.touch(LOCK_KEY, PAUSE_SECONDS))


def _store(by: str, started: datetime, results: list[CheckResult], *, is_over: bool) -> None:
    document = build_document(find_url(), started, results)
    row = {"by": by, "started": started.isoformat(), "document": document, "is_over": is_over}
    cache_guard().call(lambda: cache.set(RUN_KEY, row, KEPT_SECONDS))
