"""Whether this site may start: all that is wrong with its servers, in one go."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.conf import settings

from tecken.monitoring.preflight import targets
from tecken.monitoring.preflight.inspect import Look, look
from tecken.monitoring.preflight.rules import CACHE, STORE, Problem, judged

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds


class Verdict(NamedTuple):
    """`reached`: the names of the servers that took our password; `told`: of those that say what they are."""

    problems: tuple[Problem, ...]
    reached: frozenset[str] = frozenset()
    told: frozenset[str] = frozenset()

    @property
    def errors(self) -> list[Problem]:
        return [problem for problem in self.problems if problem.level == "error"]

    @property
    def may_pass(self) -> bool:
        """All that is wrong may be gone without anybody's doing."""
        return bool(self.errors) and all(problem.transient for problem in self.errors)

    @property
    def status(self) -> int:
        """To exit with: 0, 75 (EX_TEMPFAIL) when it may pass, 78 (EX_CONFIG) when somebody has to mend it."""
        if not self.errors:
            return 0
        return os.EX_TEMPFAIL if self.may_pass else os.EX_CONFIG


def verify(wait: float | None = None, tell: Callable[[list[Problem]], None] = lambda _: None) -> Verdict:
    """Looks again for `wait` seconds (REDIS_STARTUP_SECONDS) while all that is wrong may pass.

    `tell` hears what is waited for, each time that it is something else.
    """
    deadline = time.monotonic() + (settings.REDIS_STARTUP_SECONDS if wait is None else wait)
    told: list[Problem] = []
    for pause in _pauses():
        verdict = _once()
        left = deadline - time.monotonic()
        if not verdict.may_pass or left <= 0:
            break
        if verdict.errors != told:
            tell(told := verdict.errors)
        time.sleep(min(pause, left))
    return verdict


def _pauses() -> Iterator[float]:
    """A fleet that starts at once does not ask at once."""
    pause = FIRST_PAUSE
    while True:
        yield pause * random.uniform(0.8, 1.2)  # noqa: S311 - no secret
        pause = min(2 * pause, LONGEST_PAUSE)


def _once() -> Verdict:
    if settings.DEMO_MODE:
        return Verdict(tuple(targets.wrong_demo()))
    looks = _looks()
    problems = [*targets.wrong(), *(problem for seen in looks.values() for problem in seen.problems)]
    said = {(problem.id, problem.server) for problem in problems}
    cache, store = (looks[name].facts if name in looks else None for name in (CACHE, STORE))
    by_facts = judged(cache, store, settings.ENVIRONMENT == "production")
    problems += [problem for problem in by_facts if (problem.id, problem.server) not in said]
    reached = frozenset(name for name, seen in looks.items() if seen.reached)
    told = frozenset(name for name, seen in looks.items() if seen.facts)
    return Verdict(tuple(problems), reached, told)


def _looks() -> dict[str, Look]:
    """Side by side, so that two mute servers cost one timeout."""
    servers = targets.servers()
    production = settings.ENVIRONMENT == "production"
    with ThreadPoolExecutor(2) as pool:
        seen = list(pool.map(lambda server: look(server, production), servers))
    return {server.name: one for server, one in zip(servers, seen, strict=True)}
