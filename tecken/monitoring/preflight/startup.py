"""Start of web server, worker and beat: the preflight, its lines, and the exit status.

Both Redis servers are verified before a process starts, and servers that start are waited for. `manage.py
check_redis` reports each check with its outcome; a start prints problems only.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Literal, NamedTuple

from django.conf import settings
from environs import EnvValidationError

from tecken import redisclient
from tecken.demo import alone
from tecken.monitoring.preflight import inspect
from tecken.monitoring.preflight.inspect import Inspection, Target, format_address, inspect_server
from tecken.monitoring.preflight.rules import (
    CACHE,
    SITE,
    STORE,
    Problem,
    find_problems,
    find_setting_problems,
)

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


# Verification


def find_targets() -> list[Target]:
    """Return the servers whose URLs can be used, each with a client that its inspection closes."""
    targets = []
    if _is_usable("REDIS_URL"):
        targets.append(_cache_target(settings.CACHES["default"]["LOCATION"]))
    if _is_usable("REDIS_STORE_URL"):
        targets.append(_store_target(settings.CACHES["store"]["LOCATION"]))
    return targets


def _is_usable(variable: str) -> bool:
    return bool(getattr(settings, variable)) and variable not in settings.MALFORMED


def _cache_target(url: str) -> Target:
    # The client uses the last of the databases: a server that has this one has the others.
    client = redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    channel = settings.RUNTIME_CONFIG_CHANNEL
    outside = [tuple(word.format(channel) for word in command) for command in inspect.CACHE_OUTSIDE]
    return Target(CACHE, url, client, inspect.CACHE, outside)


def _store_target(url: str) -> Target:
    client = redisclient.client(
        url,
        timeout=settings.REDIS_STORE_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
    )
    return Target(STORE, url, client, inspect.STORE, inspect.STORE_OUTSIDE)


FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 2.0


class PreflightResult(NamedTuple):
    """Problems of a site. `reached` are the servers that accepted the account, `known` those with facts."""

    problems: tuple[Problem, ...]
    reached: frozenset[str] = frozenset()
    known: frozenset[str] = frozenset()

    @property
    def errors(self) -> list[Problem]:
        """Return the problems that prevent a start."""
        return [problem for problem in self.problems if problem.level == "error"]

    @property
    def may_pass(self) -> bool:
        """Return whether every error may pass by itself."""
        return bool(self.errors) and all(problem.transient for problem in self.errors)

    @property
    def status(self) -> int:
        """Return the exit status: 0; 75 (EX_TEMPFAIL) if each error may pass by itself; 78 (EX_CONFIG)."""
        if not self.errors:
            return 0
        return os.EX_TEMPFAIL if self.may_pass else os.EX_CONFIG


def run_preflight(
    wait: float | None = None, on_wait: Callable[[list[Problem]], None] = lambda _: None
) -> PreflightResult:
    """Check the site, again for `wait` seconds (REDIS_STARTUP_SECONDS) while every error may pass by itself.

    `on_wait` gets the errors whenever they have changed.
    """
    deadline = time.monotonic() + (settings.REDIS_STARTUP_SECONDS if wait is None else wait)
    reported: list[Problem] = []
    for pause in _pauses():
        result = _check_once()
        seconds_left = deadline - time.monotonic()
        if not result.may_pass or seconds_left <= 0:
            break
        if result.errors != reported:
            on_wait(reported := result.errors)
        time.sleep(min(pause, seconds_left))
    return result


def _pauses() -> Iterator[float]:
    # Random, so that a fleet that starts at once does not check its servers in step.
    pause = FIRST_PAUSE_SECONDS
    while True:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _check_once() -> PreflightResult:
    problems = list(find_setting_problems())
    if settings.DEMO_MODE:
        return PreflightResult(tuple(problems))
    inspections = _inspect_servers()
    problems += [problem for inspection in inspections.values() for problem in inspection.problems]
    # An inspection has found some of the same problems already, with the server's own reason.
    reported = {(problem.id, problem.server) for problem in problems}
    cache, store = (inspections[name].facts if name in inspections else None for name in (CACHE, STORE))
    by_facts = find_problems(cache, store, settings.ENVIRONMENT == "production")
    problems += [problem for problem in by_facts if (problem.id, problem.server) not in reported]
    return PreflightResult(
        tuple(problems),
        reached=frozenset(name for name, inspection in inspections.items() if inspection.reached),
        known=frozenset(name for name, inspection in inspections.items() if inspection.facts),
    )


def _inspect_servers() -> dict[str, Inspection]:
    """Inspect both servers at once, so that two that do not respond cost one timeout."""
    targets = find_targets()
    is_production = settings.ENVIRONMENT == "production"
    with ThreadPoolExecutor(2) as pool:
        inspections = list(pool.map(lambda target: inspect_server(target, is_production), targets))
    return {target.name: inspection for target, inspection in zip(targets, inspections, strict=True)}


# Report

# The one check that does not need the server.
URL = "E01"
FACTS_CHECKS = ("E05", "E06", "E10", "W08", "W09")
Level = Literal["ok", "warning", "error", "unknown"]
CHECKS: dict[str, dict[str, str]] = {
    SITE: {
        "E14": "the mode fits the environment",
        "E15": "SECRET_KEY is set",
        "E16": "no setting is unsafe",
        "E17": "the URLs of storage and upstreams are well formed",
    },
    CACHE: {
        URL: "REDIS_URL is set and well formed",
        "E02": "it answers",
        "E03": "it accepts our account, which may run all required commands",
        "E04": "it accepts writes",
        "E05": "it evicts only keys with an expiry",
        "E08": "it has databases 0 to 3",
        "E10": "its version is supported",
        "W08": "it keeps its data over a restart",
        "W09": "it has room for data and clients",
    },
    STORE: {
        URL: "REDIS_STORE_URL is set and well formed",
        "E02": "it answers",
        "E03": "it accepts our account, which may run all required commands",
        "E04": "it accepts writes",
        "E06": "it has a limit of memory, and evicts pages",
        "E07": "it is another server than redis-cache",
        "E10": "its version is supported",
        "W09": "it has room for clients",
    },
}


class ReportRow(NamedTuple):
    """Outcome of a check: what is fulfilled, the problem, or `unknown` for what could not be checked."""

    id: str
    server: str
    level: Level
    text: str


def build_report(result: PreflightResult) -> list[ReportRow]:
    """Return a row per check. A problem without a check comes last of its server. A demo has no servers."""
    servers = [SITE] if settings.DEMO_MODE else list(CHECKS)
    return [row for server in servers for row in _server_rows(server, result)]


def _server_rows(server: str, result: PreflightResult) -> Iterator[ReportRow]:
    problems = [problem for problem in result.problems if problem.server == server]
    failed = {problem.id for problem in problems}
    for number, text in CHECKS[server].items():
        if number not in failed:
            level: Level = "ok" if _is_checked(number, server, result) else "unknown"
            yield ReportRow(number, server, level, text)
        yield from (_row(problem) for problem in problems if problem.id == number)
    yield from (_row(problem) for problem in problems if problem.id not in CHECKS[server])


def _is_checked(number: str, server: str, result: PreflightResult) -> bool:
    if server == SITE or number == URL:
        return True
    if number == "E07":
        return result.known == {CACHE, STORE}
    return server in (result.known if number in FACTS_CHECKS else result.reached)


def _row(problem: Problem) -> ReportRow:
    return ReportRow(problem.id, problem.server, problem.level, problem.text)
