"""The door that web server, worker and beat go through: they start, or end and say why."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from django.conf import settings
from environs import EnvValidationError

from tecken.demo import alone
from tecken.monitoring.preflight.failure import address
from tecken.monitoring.preflight.production import SITE
from tecken.monitoring.preflight.rules import Problem
from tecken.monitoring.preflight.verify import Verdict, verify

Line = tuple[str, str]  # its level, as logs have it, and the text


@cache
def entrance(web: bool = True) -> None:
    """Raises SystemExit: 78 (EX_CONFIG) when somebody has to mend it, 75 (EX_TEMPFAIL) when it may pass.

    Once in a process and those that are forked from it: a worker may have its own beat.
    """
    try:
        verdict = verify(tell=_waits)
    except EnvValidationError as error:
        print(f"❌ Configuration validation failed: {error}", file=sys.stderr)
        raise SystemExit(os.EX_CONFIG) from None
    if settings.DEMO_MODE:
        verdict = verdict._replace(problems=(*verdict.problems, *_more_than_one(web)))
    _tell(lines(verdict))
    if verdict.errors:
        raise SystemExit(verdict.status)


def _more_than_one(web: bool) -> Iterator[Problem]:
    """A demo is one process, which claims it once it is built."""
    home = Path(settings.RUNTIME_CONFIG_FILE).parent
    if not web:
        yield Problem("E14", "error", SITE, "DEMO_MODE: jobs are done in the web server's process")
    elif not alone.is_free(home):
        yield Problem("E14", "error", SITE, f"DEMO_MODE is for one process, and another one has {home}")


def lines(verdict: Verdict) -> Iterator[Line]:
    if not verdict.errors and not settings.DEMO_MODE:
        yield from _well()
    for problem in verdict.problems:
        yield _line(problem)
    yield ("error", "→ Application REFUSES to start") if verdict.errors else ("info", "→ Application starts")


def _well() -> Iterator[Line]:
    cache, store = address(settings.REDIS_URL), address(settings.REDIS_STORE_URL)
    yield "info", f"✓ Redis counter backend connected: {cache}"
    yield "info", "✓ Counter backend initialized (Redis)"
    yield "info", f"✓ Redis queue service connected: {cache}"
    yield "info", "✓ Queue service initialized (Redis)"
    yield "info", f"✓ Redis page store connected: {store}"


def _line(problem: Problem) -> Line:
    if problem.level == "warning":
        return "warning", f"⚠ {problem.text}"
    what = "Configuration" if problem.server == SITE else "Redis"
    return "error", f"❌ {what} validation failed: {problem.text}"


def _waits(errors: list[Problem]) -> None:
    for problem in errors:
        _tell([("warning", f"⚠ Waiting up to {settings.REDIS_STARTUP_SECONDS:g} s: {problem.text}")])


def _tell(said: Iterator[Line] | list[Line]) -> None:
    """Nothing has set logging up yet: these are the first lines of a process."""
    for level, text in said:
        line = text
        if settings.LOG_FORMAT == "json":
            now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            line = json.dumps({"time": now, "level": level, "logger": "tecken.servers", "event": text})
        print(line, file=sys.stderr, flush=True)
