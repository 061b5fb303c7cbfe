"""Verification of both Redis servers before a process starts, and the waiting for servers that start."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

from django.conf import settings

from tecken import redisclient
from tecken.monitoring.preflight import commands
from tecken.monitoring.preflight.inspect import Inspection, Target, inspect_server
from tecken.monitoring.preflight.rules import CACHE, STORE, Problem, find_problems
from tecken.monitoring.preflight.site_settings import find_setting_problems


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
    outside = [tuple(word.format(channel) for word in command) for command in commands.CACHE_OUTSIDE]
    return Target(CACHE, url, client, commands.CACHE, outside)


def _store_target(url: str) -> Target:
    client = redisclient.client(
        url,
        timeout=settings.REDIS_STORE_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
    )
    return Target(STORE, url, client, commands.STORE)


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
