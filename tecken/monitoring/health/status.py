"""State of the site: a snapshot, and the documents of `/health` and `/admin/health/redis`.

A snapshot has the results of the probes, problems that prevent a start, and changes of the servers. The
documents are made of it and of what this process remembers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from django.conf import settings
from dockerflow.version import get_version

from tecken import services
from tecken.jobs.keys import QUEUES
from tecken.jobs.records import Backlog, Worker
from tecken.monitoring import degraded
from tecken.monitoring.degraded import LATE_SECONDS, PERIOD_SECONDS
from tecken.monitoring.health.probes import ProbeResult, Server, probe_runner
from tecken.monitoring.preflight.rules import CACHE, STORE, Facts, Problem, find_problems
from tecken.runtimeconfig import current
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


# Documents

Status = Literal["healthy", "degraded", "unhealthy"]
Document = dict[str, Any]


def health() -> tuple[Document, int]:
    """Return the document of `/health` and its HTTP status."""
    snapshot = take_snapshot()
    parts = _parts(snapshot)
    status = _status(snapshot, parts)
    document = {
        "status": status,
        "version": (get_version(settings.BASE_DIR) or {}).get("version", "unknown"),
        "environment": settings.ENVIRONMENT,
        **({"demo_mode": True} if settings.DEMO_MODE else {}),
        "state": degraded.degraded_states(),
        "maintenance": current.is_under_maintenance(),
        **parts,
        "problems": [*snapshot.errors, *snapshot.changes, *_findings(snapshot, parts)],
    }
    return document, 503 if _is_down(parts) and is_production() else 200


def redis_details() -> Document:
    """Return the document of `/admin/health/redis`."""
    snapshot = take_snapshot()
    return {
        "counter_backend": _backend(snapshot, CACHE),
        "queue_service": _queue(snapshot),
        "demo_mode": settings.DEMO_MODE,
        "store": _backend(snapshot, STORE),
        "worker": _worker(snapshot.backlog),
        "beat": _beat(snapshot.backlog),
        "changes": list(snapshot.changes),
        "problems": [problem._asdict() for problem in snapshot.problems],
    }


def _parts(snapshot: HealthSnapshot) -> dict[str, Document]:
    return {
        "redis": _backend(snapshot, CACHE),
        "queue": _queue(snapshot),
        "store": _backend(snapshot, STORE),
        "database": _part(snapshot, "database"),
        "storage": _storage(snapshot),
        "disk": _disk(snapshot),
        "worker": _worker(snapshot.backlog),
        "beat": _beat(snapshot.backlog),
        "config": _config(snapshot.results["processes"]),
    }


def _is_down(parts: Mapping[str, Document]) -> bool:
    """Return whether a load balancer should use another site: the queue or the server that holds it is down.

    Stalled jobs are no reason to: every other site with the same queue has them, too.
    """
    return any(parts[name]["status"] != "connected" for name in ("redis", "queue"))


def _status(snapshot: HealthSnapshot, parts: Mapping[str, Document]) -> Status:
    if _is_down(parts) or parts["beat"]["status"] == "stalled":
        return "unhealthy"
    is_well = (
        all(parts[name]["status"] == "connected" for name in ("store", "database", "storage"))
        and parts["disk"]["status"] == "free"
        and (parts["worker"]["status"] == "alive" or current.is_under_maintenance())
        and not (parts["config"]["stale"] or parts["config"]["bad"])
        and not parts["queue"]["dead"]
        and not snapshot.errors
    )
    return "healthy" if is_well else "degraded"


def _findings(snapshot: HealthSnapshot, parts: Mapping[str, Document]) -> Iterator[str]:
    """Yield the problems that an operator has to solve."""
    if why := parts["beat"].get("why"):
        yield f"jobs are stalled: {why}"
    yield from _full(snapshot.spaces)
    if dead := parts["queue"].get("dead"):
        have = "jobs have" if dead != 1 else "job has"
        yield f"{dead:,} {have} failed for good: read the reasons at /jobs/, then retry or drop"


def _part(snapshot: HealthSnapshot, name: str) -> Document:
    why = snapshot.why_not(name)
    return {"status": "disconnected", "why": why} if why else {"status": "connected"}


def _storage(snapshot: HealthSnapshot) -> Document:
    """Return `full` as soon as the reserve is used: what is left is for jobs that were accepted before."""
    part = _part(snapshot, "storage")
    reasons = _full(space for space in snapshot.spaces if space.name in ("storage", "try_storage"))
    return (
        {"status": "full", "why": "; ".join(reasons)} if reasons and part["status"] == "connected" else part
    )


def _disk(snapshot: HealthSnapshot) -> Document:
    full = "; ".join(_full(snapshot.spaces))
    if why := snapshot.results["disk"].why or full:
        status = {"status": "full" if full else "unknown", "why": why}
    else:
        status = {"status": "free"}
    return {
        **status,
        "free_bytes": {space.name: space.free for space in snapshot.spaces},
        "reserve_bytes": {space.name: space.reserve for space in snapshot.spaces},
    }


def _full(spaces: Iterable[Space]) -> list[str]:
    return [space.why_not for space in spaces if space.why_not]


def _backend(snapshot: HealthSnapshot, name: str) -> Document:
    return {"backend": "memory" if settings.DEMO_MODE else "redis", **_part(snapshot, name)}


def _queue(snapshot: HealthSnapshot) -> Document:
    """Return the state of the queue; `queue_depth` counts every job that has not ended, of any priority."""
    backlog = snapshot.backlog
    if backlog is None:
        return {**_backend(snapshot, "queue"), "queue_depth": None}
    ages = [queue.oldest_seconds for queue in backlog.queues if queue.oldest_seconds is not None]
    latencies = [queue.canary_seconds for queue in backlog.queues if queue.canary_seconds is not None]
    return {
        **_backend(snapshot, "queue"),
        "queue_depth": backlog.depth,
        "oldest_seconds": _round(max(ages, default=None)),
        "canary_seconds": _round(max(latencies, default=None)),
        "dead": backlog.dead,
    }


def _worker(backlog: Backlog | None) -> Document:
    """Return the state of all workers: `missing` when a queue has none."""
    if backlog is None:
        return {"status": "unknown", "workers": None}
    alive = [worker for worker in backlog.workers if worker.alive]
    unserved = _find_unserved(alive)
    return {
        "status": "missing" if unserved else "alive",
        "workers": len(alive),
        "heard_seconds": _round(min((worker.heard for worker in alive), default=None)),
        "unserved": unserved,
    }


def _beat(backlog: Backlog | None) -> Document:
    """Return whether canaries get through: the only proof that beat, queue and workers work."""
    if backlog is None:
        return {"status": "unknown", "canary_age_seconds": None}
    ages = [queue.canary_age for queue in backlog.queues]
    known = [age for age in ages if age is not None]
    oldest = _round(max(known)) if len(known) == len(ages) else None
    if current.is_under_maintenance():
        return {"status": "paused", "canary_age_seconds": oldest}
    if late := degraded.canary_watch().late:
        return {"status": "stalled", "canary_age_seconds": oldest, "why": _explain_stall(backlog, late)}
    return {"status": "alive" if _are_fresh(ages) else "starting", "canary_age_seconds": oldest}


def _are_fresh(ages: Sequence[float | None]) -> bool:
    return all(age is not None and age <= LATE_SECONDS for age in ages)


def _explain_stall(backlog: Backlog, late: Sequence[str]) -> str:
    """Return the cause that explains most: beat sends the canaries, and workers take them."""
    alive = [worker for worker in backlog.workers if worker.alive]
    unserved = [queue for queue in _find_unserved(alive) if queue in late]
    if not backlog.beat and not settings.DEMO_MODE:
        cause = "no beat is running"
    elif unserved:
        cause = f"no worker takes jobs of {', '.join(unserved)}"
    else:
        cause = "all workers are busy or stuck"
    ages = {queue.name: queue.canary_age for queue in backlog.queues}
    last = ", ".join(
        f"{name} {'never' if ages[name] is None else f'{ages[name]:.0f} s ago'}" for name in late
    )
    return f"{cause}; the last test job came through {last} (expected every {PERIOD_SECONDS:.0f} s)"


def _find_unserved(alive: Sequence[Worker]) -> list[str]:
    served = {queue for worker in alive for queue in worker.queues}
    return [queue for queue in QUEUES if queue not in served]


def _config(processes: ProbeResult) -> Document:
    """Return the configuration of this process. `processes` is omitted while it is unknown."""
    state, reports = current.state(), processes.value or []
    applied = sum((report.version, report.stamp) == (state.version, state.stamp) for report in reports)
    counted = {"processes": {"applied": applied, "total": len(reports)}} if reports else {}
    return {
        "version": state.version,
        "age_seconds": _round(state.age),
        "stale": state.stale,
        "watcher": state.watcher,
        "bad": len(state.bad),
        **counted,
    }


def _round(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)
