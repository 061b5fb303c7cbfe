"""The figures of `/metrics` that are looked up when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tecken.jobs.backlog import Backlog
from tecken.metrics import Figure
from tecken.monitoring import degraded
from tecken.monitoring.health.status import Sight, sight
from tecken.monitoring.preflight.facts import Facts
from tecken.monitoring.preflight.rules import CACHE, STORE
from tecken.runtimeconfig import current

PARTS = (CACHE, STORE, "queue", "database", "storage")


def figures() -> Iterator[Figure]:
    """Of the process that answers, and of what all share. What nobody can tell has no sample."""
    seen = sight()
    now = degraded.modes()
    yield Figure("tecken_up", [({"part": part}, not seen.why_not(part)) for part in PARTS])
    yield Figure("tecken_state", [({"state": mode}, mode in now) for mode in degraded.MODES])
    yield from _configuration(seen)
    yield from _redis({name: server.facts for name in (CACHE, STORE) if (server := seen.server(name))})
    spaces = seen.answers["disk"].value or ()
    yield Figure("tecken_disk_free_bytes", [({"directory": space.name}, space.free) for space in spaces])
    yield Figure(
        "tecken_disk_reserve_bytes", [({"directory": space.name}, space.reserve) for space in spaces]
    )
    if seen.backlog:
        yield from _queue(seen.backlog)


def _configuration(seen: Sight) -> Iterator[Figure]:
    state = current.state()
    yield Figure("tecken_config_version", [({}, state.version)])
    yield Figure("tecken_config_age_seconds", [({}, state.age)])
    yield Figure("tecken_config_stale", [({}, state.stale)])
    yield Figure("tecken_config_bad", [({}, len(state.bad))])
    shut = [({"level": "full"}, current.maintenance()), ({"level": "uploads"}, current.uploads_closed())]
    yield Figure("tecken_maintenance", [(level, bool(now)) for level, now in shut])
    reports = seen.answers["processes"].value or []
    kinds = Counter((one.kind, str(one.version)) for one in reports)
    processes = [({"kind": kind, "version": version}, number) for (kind, version), number in kinds.items()]
    yield Figure("tecken_config_processes", processes)


def _redis(servers: dict[str, Facts]) -> Iterator[Figure]:
    names = {
        "tecken_redis_memory_bytes": "used_memory",
        "tecken_redis_maxmemory_bytes": "maxmemory",
        "tecken_redis_clients": "clients",
        "tecken_redis_maxclients": "maxclients",
        "tecken_redis_hits_total": "hits",
        "tecken_redis_misses_total": "misses",
        "tecken_redis_evicted_keys_total": "evicted",
        "tecken_redis_commands_total": "commands",
    }
    for name, field in names.items():
        yield Figure(name, [({"server": server}, getattr(facts, field)) for server, facts in servers.items()])


def _queue(now: Backlog) -> Iterator[Figure]:
    ready = [
        ({"queue": queue.name, "priority": str(priority)}, number)
        for queue in now.queues
        for priority, number in queue.by_priority.items()
    ]
    yield Figure("tecken_queue_ready", ready)
    yield Figure("tecken_queue_unacknowledged", [({}, now.unacknowledged)])
    yield _known("tecken_queue_oldest_seconds", {q.name: q.oldest_seconds for q in now.queues})
    yield _known("tecken_queue_canary_seconds", {q.name: q.canary_seconds for q in now.queues})
    yield _known("tecken_queue_canary_age_seconds", {q.name: q.canary_age for q in now.queues})
    yield Figure("tecken_queue_dead", [({}, now.dead)])
    yield Figure("tecken_workers", [({}, sum(worker.alive for worker in now.workers))])


def _known(name: str, values: dict[str, float | None]) -> Figure:
    return Figure(name, [({"queue": queue}, value) for queue, value in values.items() if value is not None])
