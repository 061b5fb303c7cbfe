"""Report of each check with its outcome, for `manage.py check_redis`; a start prints problems only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from django.conf import settings

from tecken.monitoring.preflight.rules import CACHE, STORE, Problem
from tecken.monitoring.preflight.site_settings import SITE
from tecken.monitoring.preflight.verify import PreflightResult

# The one check that does not need the server.
URL = "E01"
FACTS_CHECKS = ("E05", "E06", "E10", "W08", "W09")
Level = Literal["ok", "warning", "error", "unknown"]
CHECKS: dict[str, dict[str, str]] = {
    SITE: {"E14": "the mode fits the environment", "E15": "SECRET_KEY is set", "E16": "no setting is unsafe"},
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
