"""How this site is, as one process sees it: from the checks, and from what it remembers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple

from django.conf import settings
from dockerflow.version import get_version

from tecken import wiring
from tecken.jobs.backlog import Backlog, Worker
from tecken.jobs.keys import QUEUES
from tecken.monitoring import degraded
from tecken.monitoring.canaries import LATE_SECONDS, PERIOD_SECONDS
from tecken.monitoring.health.checks import Server, looks
from tecken.monitoring.health.drift import Drift
from tecken.monitoring.health.probes import Answer
from tecken.monitoring.preflight.rules import CACHE, STORE, Problem, find_problems
from tecken.runtimeconfig import current
from tecken.storage.disk_space import Space

Status = Literal["healthy", "degraded", "unhealthy"]
Document = dict[str, Any]


class Sight(NamedTuple):
    """One look. `changes`: see Drift; `problems`: what start-up would say of the servers now."""

    answers: Mapping[str, Answer]
    changes: Sequence[str]
    problems: Sequence[Problem]

    def server(self, name: str) -> Server | None:
        found: Server | None = self.answers[name].value
        return found

    def why_not(self, name: str) -> str:
        """Empty when the part does its work. A server that refuses to write does not."""
        answer = self.answers[name]
        return answer.why or (answer.value.refuses if isinstance(answer.value, Server) else "")

    @property
    def backlog(self) -> Backlog | None:
        found: Backlog | None = self.answers["queue"].value
        return found


@wiring.once
def drift() -> Drift:
    return Drift()


def sight() -> Sight:
    """Raises nothing, and takes no longer than HEALTH_CHECK_SECONDS."""
    answers = looks().now()
    servers = {name: answers[name].value for name in (CACHE, STORE)}
    facts = {name: server.facts if server else None for name, server in servers.items()}
    changes = [text for name, now in facts.items() if now for text in drift().changes(name, now)]
    problems = [] if settings.DEMO_MODE else find_problems(facts[CACHE], facts[STORE], _production())
    return Sight(answers, changes, problems)


def health() -> tuple[Document, int]:
    """The document and its HTTP status."""
    seen = sight()
    parts = _parts(seen)
    status = _status(seen, parts)
    document = {
        "status": status,
        "version": (get_version(settings.BASE_DIR) or {}).get("version", "unknown"),
        "environment": settings.ENVIRONMENT,
        **({"demo_mode": True} if settings.DEMO_MODE else {}),
        "state": degraded.modes(),
        "maintenance": current.is_under_maintenance(),
        **parts,
        "problems": [*_errors(seen), *seen.changes, *_findings(seen, parts)],
    }
    return document, 503 if _is_down(parts) and _production() else 200


def redis_details() -> Document:
    """`/admin/health/redis`."""
    seen = sight()
    return {
        "counter_backend": _backend(seen, CACHE),
        "queue_service": _queue(seen),
        "demo_mode": settings.DEMO_MODE,
        "store": _backend(seen, STORE),
        "worker": _worker(seen.backlog),
        "beat": _beat(seen.backlog),
        "changes": list(seen.changes),
        "problems": [problem._asdict() for problem in seen.problems],
    }


def _parts(seen: Sight) -> dict[str, Document]:
    return {
        "redis": _backend(seen, CACHE),
        "queue": _queue(seen),
        "store": _backend(seen, STORE),
        "database": _part(seen, "database"),
        "storage": _storage(seen),
        "disk": _disk(seen),
        "worker": _worker(seen.backlog),
        "beat": _beat(seen.backlog),
        "config": _config(seen.answers["processes"]),
    }


def _is_down(parts: Mapping[str, Document]) -> bool:
    """Return whether nothing is right here: without redis-cache nothing is, without anything else much is.

    Stalled jobs are no reason for a load balancer to leave: every other site of the same queue has them, too.
    """
    return any(parts[name]["status"] != "connected" for name in ("redis", "queue"))


def _status(seen: Sight, parts: Mapping[str, Document]) -> Status:
    if _is_down(parts) or parts["beat"]["status"] == "stalled":
        return "unhealthy"
    is_well = (
        all(parts[name]["status"] == "connected" for name in ("store", "database", "storage"))
        and parts["disk"]["status"] == "free"
        and (parts["worker"]["status"] == "alive" or current.is_under_maintenance())
        and not (parts["config"]["stale"] or parts["config"]["bad"])
        and not parts["queue"]["dead"]
        and not _errors(seen)
    )
    return "healthy" if is_well else "degraded"


def _findings(seen: Sight, parts: Mapping[str, Document]) -> Iterator[str]:
    """Yield what a person has to do something about."""
    if why := parts["beat"].get("why"):
        yield f"jobs are stalled: {why}"
    yield from _full(seen)
    if dead := parts["queue"].get("dead"):
        were = "jobs were" if dead != 1 else "job was"
        yield f"{dead:,} {were} given up: read the reasons in /jobs/, then retry or drop"


def _errors(seen: Sight) -> list[str]:
    return [problem.text for problem in seen.problems if problem.level == "error"]


def _part(seen: Sight, name: str) -> Document:
    why = seen.why_not(name)
    return {"status": "disconnected", "why": why} if why else {"status": "connected"}


def _storage(seen: Sight) -> Document:
    """`full` before it is: what is left belongs to jobs that were accepted before."""
    part = _part(seen, "storage")
    why = [
        space.why_not for space in _spaces(seen) if space.name in ("storage", "try_storage") and space.why_not
    ]
    return {"status": "full", "why": "; ".join(why)} if why and part["status"] == "connected" else part


def _disk(seen: Sight) -> Document:
    answer = seen.answers["disk"]
    full = "; ".join(_full(seen))
    if why := answer.why or full:
        status = {"status": "full" if full else "unknown", "why": why}
    else:
        status = {"status": "free"}
    return {
        **status,
        "free_bytes": {space.name: space.free for space in _spaces(seen)},
        "reserve_bytes": {space.name: space.reserve for space in _spaces(seen)},
    }


def _spaces(seen: Sight) -> Sequence[Space]:
    return seen.answers["disk"].value or ()


def _full(seen: Sight) -> list[str]:
    return [space.why_not for space in _spaces(seen) if space.why_not]


def _backend(seen: Sight, name: str) -> Document:
    return {"backend": "memory" if settings.DEMO_MODE else "redis", **_part(seen, name)}


def _queue(seen: Sight) -> Document:
    """`queue_depth`: every job that has not ended, of any priority, with a worker or not."""
    now = seen.backlog
    if now is None:
        return {**_backend(seen, "queue"), "queue_depth": None}
    ages = [queue.oldest_seconds for queue in now.queues if queue.oldest_seconds is not None]
    latencies = [queue.canary_seconds for queue in now.queues if queue.canary_seconds is not None]
    return {
        **_backend(seen, "queue"),
        "queue_depth": now.depth,
        "oldest_seconds": _rounded(max(ages, default=None)),
        "canary_seconds": _rounded(max(latencies, default=None)),
        "dead": now.dead,
    }


def _worker(now: Backlog | None) -> Document:
    """`missing`: for some queue there is no worker."""
    if now is None:
        return {"status": "unknown", "workers": None}
    alive = [worker for worker in now.workers if worker.alive]
    unserved = _unserved(alive)
    return {
        "status": "missing" if unserved else "alive",
        "workers": len(alive),
        "heard_seconds": _rounded(min((worker.heard for worker in alive), default=None)),
        "unserved": unserved,
    }


def _beat(now: Backlog | None) -> Document:
    """Return whether canaries get through: the only proof that beat, queue and workers do their work."""
    if now is None:
        return {"status": "unknown", "canary_age_seconds": None}
    ages = [queue.canary_age for queue in now.queues]
    known = [age for age in ages if age is not None]
    oldest = _rounded(max(known)) if len(known) == len(ages) else None
    if current.is_under_maintenance():
        return {"status": "paused", "canary_age_seconds": oldest}
    if late := wiring.canary_watch().late:
        return {"status": "stalled", "canary_age_seconds": oldest, "why": _why_stalled(now, late)}
    return {"status": "alive" if _are_fresh(ages) else "starting", "canary_age_seconds": oldest}


def _are_fresh(ages: Sequence[float | None]) -> bool:
    return all(age is not None and age <= LATE_SECONDS for age in ages)


def _why_stalled(now: Backlog, late: Sequence[str]) -> str:
    """Return the cause that explains most: beat sends the canaries, and workers take them."""
    unserved = [
        queue for queue in _unserved([worker for worker in now.workers if worker.alive]) if queue in late
    ]
    if not now.beat and not settings.DEMO_MODE:
        cause = "no beat is running"
    elif unserved:
        cause = f"no worker takes jobs of {', '.join(unserved)}"
    else:
        cause = "all workers are busy or stuck"
    ages = {queue.name: queue.canary_age for queue in now.queues}
    seen = ", ".join(
        f"{name} {'never' if ages[name] is None else f'{ages[name]:.0f} s ago'}" for name in late
    )
    return f"{cause}; the last test job came through {seen} (expected every {PERIOD_SECONDS:.0f} s)"


def _unserved(alive: Sequence[Worker]) -> list[str]:
    served = {queue for worker in alive for queue in worker.queues}
    return [queue for queue in QUEUES if queue not in served]


def _config(processes: Answer) -> Document:
    """Of the process that answers; `processes` are all that have reported, left out when nobody can tell."""
    state, reports = current.state(), processes.value or []
    applied = sum((one.version, one.stamp) == (state.version, state.stamp) for one in reports)
    counted = {"processes": {"applied": applied, "total": len(reports)}} if reports else {}
    return {
        "version": state.version,
        "age_seconds": _rounded(state.age),
        "stale": state.stale,
        "watcher": state.watcher,
        "bad": len(state.bad),
        **counted,
    }


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 3)


def _production() -> bool:
    return bool(settings.ENVIRONMENT == "production")
