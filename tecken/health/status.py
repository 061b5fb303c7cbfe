"""How this site is, as one process sees it: from the checks, and from what it remembers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple

from django.conf import settings
from dockerflow.version import get_version

from tecken import modes, wiring
from tecken.health.checks import Server, looks
from tecken.health.drift import Drift
from tecken.health.looks import Answer
from tecken.jobs.backlog import Backlog, Worker
from tecken.jobs.keys import QUEUES
from tecken.runtimeconfig import current
from tecken.servers.judge import CACHE, STORE, Problem, judged

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
    problems = [] if settings.DEMO_MODE else judged(facts[CACHE], facts[STORE], _production())
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
        "state": modes.modes(),
        "maintenance": current.is_under_maintenance(),
        **parts,
        "problems": [*_errors(seen), *seen.changes],
    }
    return document, 503 if status == "unhealthy" and _production() else 200


def redis_details() -> Document:
    """`/admin/health/redis`."""
    seen = sight()
    return {
        "counter_backend": _backend(seen, CACHE),
        "queue_service": _queue(seen),
        "demo_mode": settings.DEMO_MODE,
        "store": _backend(seen, STORE),
        "worker": _worker(seen.backlog),
        "changes": list(seen.changes),
        "problems": [problem._asdict() for problem in seen.problems],
    }


def _parts(seen: Sight) -> dict[str, Document]:
    return {
        "redis": _backend(seen, CACHE),
        "queue": _queue(seen),
        "store": _backend(seen, STORE),
        "database": _part(seen, "database"),
        "storage": _part(seen, "storage"),
        "worker": _worker(seen.backlog),
        "config": _config(seen.answers["processes"]),
    }


def _status(seen: Sight, parts: Mapping[str, Document]) -> Status:
    """Nothing is right without redis-cache; without anything else much is."""
    if any(parts[name]["status"] != "connected" for name in ("redis", "queue")):
        return "unhealthy"
    well = (
        all(parts[name]["status"] == "connected" for name in ("store", "database", "storage"))
        and (parts["worker"]["status"] == "alive" or current.is_under_maintenance())
        and not (parts["config"]["stale"] or parts["config"]["bad"])
        and not _errors(seen)
    )
    return "healthy" if well else "degraded"


def _errors(seen: Sight) -> list[str]:
    return [problem.text for problem in seen.problems if problem.level == "error"]


def _part(seen: Sight, name: str) -> Document:
    why = seen.why_not(name)
    return {"status": "disconnected", "why": why} if why else {"status": "connected"}


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
