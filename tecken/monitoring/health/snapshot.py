"""Snapshot of the site: results of the probes, problems that prevent a start, and changes of the servers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from django.conf import settings

from tecken import services
from tecken.jobs.records import Backlog
from tecken.monitoring.health.checks import Server, probe_runner
from tecken.monitoring.health.probes import ProbeResult
from tecken.monitoring.preflight.rules import CACHE, STORE, Facts, Problem, find_problems
from tecken.storage.disk import Space

WATCHED: Mapping[str, Callable[[Facts], str]] = {
    "role": lambda facts: facts.role,
    "maxmemory-policy": lambda facts: facts.policy,
    "maxmemory": lambda facts: str(facts.maxmemory),
    "mode": lambda facts: facts.mode,
    "persistence": lambda facts: "on" if facts.persistent else "off",
}
"""Properties that an operator or a failover can change at any time, with their names in redis.conf."""


class Drift:
    """Memory of the first facts of each server, to report what has changed since."""

    def __init__(self) -> None:
        self._first: dict[str, Facts] = {}

    def find_changes(self, server: str, facts: Facts) -> Iterator[str]:
        """Yield `maxmemory-policy of redis-store became noeviction (it was allkeys-lru at start)`."""
        first = self._first.setdefault(server, facts)
        for name, read in WATCHED.items():
            before, after = read(first), read(facts)
            if before and after and before != after:
                yield f"{name} of {server} became {after} (it was {before} at start)"


class HealthSnapshot(NamedTuple):
    """Probe results by name, changes since the first snapshot, and problems that start-up would report."""

    results: Mapping[str, ProbeResult]
    changes: Sequence[str]
    problems: Sequence[Problem]

    def server(self, name: str) -> Server | None:
        """Return the state of a Redis server; None when it does not respond."""
        server: Server | None = self.results[name].value
        return server

    def why_not(self, name: str) -> str:
        """Return why a part does not work; empty when it does. A server that refuses writes does not."""
        result = self.results[name]
        return result.why or (result.value.write_error if isinstance(result.value, Server) else "")

    @property
    def backlog(self) -> Backlog | None:
        """Return the jobs of all queues; None while the queue does not respond."""
        backlog: Backlog | None = self.results["queue"].value
        return backlog

    @property
    def spaces(self) -> Sequence[Space]:
        """Return the free space of each directory; empty when it is not known."""
        return self.results["disk"].value or ()

    @property
    def errors(self) -> list[str]:
        """Return the texts of the problems that prevent a start."""
        return [problem.text for problem in self.problems if problem.level == "error"]


@services.per_process
def drift() -> Drift:
    """Return the drift of this process."""
    return Drift()


def take_snapshot() -> HealthSnapshot:
    """Return a snapshot that is at most two seconds old, within HEALTH_CHECK_SECONDS; nothing is raised."""
    results = probe_runner().results()
    servers = {name: results[name].value for name in (CACHE, STORE)}
    facts = {name: server.facts if server else None for name, server in servers.items()}
    changes = [text for name, found in facts.items() if found for text in drift().find_changes(name, found)]
    problems = [] if settings.DEMO_MODE else find_problems(facts[CACHE], facts[STORE], is_production())
    return HealthSnapshot(results, changes, problems)


def is_production() -> bool:
    """Return whether this site is a production site."""
    return bool(settings.ENVIRONMENT == "production")
