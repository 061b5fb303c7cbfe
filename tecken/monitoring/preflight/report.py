"""Every check and what came of it, for whoever asks; a start only says what is wrong."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from django.conf import settings

from tecken.monitoring.preflight.production import SITE
from tecken.monitoring.preflight.rules import CACHE, STORE, Problem
from tecken.monitoring.preflight.verify import Verdict

URL = "E01"  # all else needs the server
OF_INFO = ("E05", "E06", "E10", "W08", "W09")
CHECKS: dict[str, dict[str, str]] = {
    SITE: {"E14": "the mode fits the environment", "E15": "SECRET_KEY is set", "E16": "no setting is unsafe"},
    CACHE: {
        URL: "REDIS_URL is set and well formed",
        "E02": "it answers",
        "E03": "it knows our account, which may run what we need",
        "E04": "it takes writes",
        "E05": "it evicts nothing but what expires",
        "E08": "it has databases 0 to 3",
        "E10": "it is a server of a version that will do",
        "W08": "it keeps its data over a restart",
        "W09": "it has room for data and clients",
    },
    STORE: {
        URL: "REDIS_STORE_URL is set and well formed",
        "E02": "it answers",
        "E03": "it knows our account, which may run what we need",
        "E04": "it takes writes",
        "E06": "it has a limit of memory, and evicts pages",
        "E07": "it is another server than redis-cache",
        "E10": "it is a server of a version that will do",
        "W09": "it has room for clients",
    },
}


class Row(NamedTuple):
    """`text` is what is well, or the problem; `unknown` is what could not be looked at."""

    id: str
    server: str
    level: Literal["ok", "warning", "error", "unknown"]
    text: str


def rows(verdict: Verdict) -> list[Row]:
    """A problem that has no check of its own here comes after those of its server. A demo has no servers."""
    servers = [SITE] if settings.DEMO_MODE else list(CHECKS)
    return [row for server in servers for row in _of_server(server, verdict)]


def _of_server(server: str, verdict: Verdict) -> Iterator[Row]:
    problems = [problem for problem in verdict.problems if problem.server == server]
    wrong = {problem.id for problem in problems}
    for number, text in CHECKS[server].items():
        if number not in wrong:
            yield Row(number, server, "ok" if _known(number, server, verdict) else "unknown", text)
        yield from (_row(problem) for problem in problems if problem.id == number)
    yield from (_row(problem) for problem in problems if problem.id not in CHECKS[server])


def _known(number: str, server: str, verdict: Verdict) -> bool:
    if server == SITE or number == URL:
        return True
    if number == "E07":
        return verdict.told == {CACHE, STORE}
    return server in (verdict.told if number in OF_INFO else verdict.reached)


def _row(problem: Problem) -> Row:
    return Row(problem.id, problem.server, problem.level, problem.text)
