"""Start of web server, worker and beat: the preflight, its lines, and the exit status."""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from django.conf import settings
from environs import EnvValidationError

from tecken.demo import alone
from tecken.monitoring.preflight.inspect import format_address
from tecken.monitoring.preflight.rules import Problem
from tecken.monitoring.preflight.site_settings import SITE
from tecken.monitoring.preflight.verify import PreflightResult, run_preflight

# Level, as in log lines, and text.
Line = tuple[str, str]


@cache
def check_start(web: bool = True) -> None:
    """Print the outcome of the preflight, and end the process when it must not start.

    Cached, so that it runs once in a process and in those forked from it.

    Raises:
        SystemExit: With 78 (EX_CONFIG) when a person has to act, 75 (EX_TEMPFAIL) when the errors may pass.
    """
    try:
        result = run_preflight(on_wait=_print_waiting)
    except EnvValidationError as error:
        print(f"❌ Configuration validation failed: {error}", file=sys.stderr)
        raise SystemExit(os.EX_CONFIG) from None
    if settings.DEMO_MODE:
        result = result._replace(problems=(*result.problems, *_check_single_process(web)))
    _print(format_lines(result))
    if result.errors:
        raise SystemExit(result.status)


def _check_single_process(web: bool) -> Iterator[Problem]:
    # A demo is one process, which claims its directory once it is built.
    home = Path(settings.RUNTIME_CONFIG_FILE).parent
    if not web:
        yield Problem("E14", "error", SITE, "DEMO_MODE: jobs are done in the web server's process")
    elif not alone.is_free(home):
        yield Problem("E14", "error", SITE, f"DEMO_MODE is for one process, and another one has {home}")


def format_lines(result: PreflightResult) -> Iterator[Line]:
    """Yield the lines of a start: what works, all problems, and whether the process starts."""
    if not result.errors and not settings.DEMO_MODE:
        yield from _format_connections()
    for problem in result.problems:
        yield _format_problem(problem)
    yield ("error", "→ Application REFUSES to start") if result.errors else ("info", "→ Application starts")


def _format_connections() -> Iterator[Line]:
    cache, store = format_address(settings.REDIS_URL), format_address(settings.REDIS_STORE_URL)
    yield "info", f"✓ Redis counter backend connected: {cache}"
    yield "info", "✓ Counter backend initialized (Redis)"
    yield "info", f"✓ Redis queue service connected: {cache}"
    yield "info", "✓ Queue service initialized (Redis)"
    yield "info", f"✓ Redis page store connected: {store}"


def _format_problem(problem: Problem) -> Line:
    if problem.level == "warning":
        return "warning", f"⚠ {problem.text}"
    subject = "Configuration" if problem.server == SITE else "Redis"
    return "error", f"❌ {subject} validation failed: {problem.text}"


def _print_waiting(errors: list[Problem]) -> None:
    for problem in errors:
        _print([("warning", f"⚠ Waiting up to {settings.REDIS_STARTUP_SECONDS:g} s: {problem.text}")])


def _print(lines: Iterable[Line]) -> None:
    # Logging is not set up yet: these are the first lines of a process.
    for level, text in lines:
        line = text
        if settings.LOG_FORMAT == "json":
            timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
            line = json.dumps({"time": timestamp, "level": level, "logger": "tecken.servers", "event": text})
        print(line, file=sys.stderr, flush=True)
