"""The figures of `/metrics` that are looked up when somebody asks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tecken import modes
from tecken.health.status import Sight, sight
from tecken.jobs.backlog import Backlog
from tecken.metrics import Figure
from tecken.runtimeconfig import current
from tecken.servers.facts import Facts
from tecken.servers.judge import CACHE, STORE

PARTS = (CACHE, STORE, "queue", "database", "storage")


def figures() -> Iterator[Figure]:
    """Of the process that answers, and of what all share. What nobody can tell has no sample."""
    seen = sight()
    now = modes.modes()
    yield Figure(
        "tecken_up", "1 while the part does its work.", [({"part": n}, not seen.why_not(n)) for n in PARTS]
    )
    yield Figure(
        "tecken_state",
        "1 for each state of the process that answers.",
        [({"state": mode}, mode in now) for mode in modes.MODES],
    )
    yield from _configuration(seen)
    yield from _redis({name: server.facts for name in (CACHE, STORE) if (server := seen.server(name))})
    if seen.backlog:
        yield from _queue(seen.backlog)


def _configuration(seen: Sight) -> Iterator[Figure]:
    state = current.state()
    yield Figure("tecken_config_version", "Version in force.", [({}, state.version)])
    yield Figure("tecken_config_age_seconds", "Since it was last heard of.", [({}, state.age)])
    yield Figure("tecken_config_stale", "1 while the last look failed.", [({}, state.stale)])
    yield Figure("tecken_config_bad", "Entries that cannot be used.", [({}, len(state.bad))])
    shut = [({"level": "full"}, current.maintenance()), ({"level": "uploads"}, current.uploads_closed())]
    yield Figure("tecken_maintenance", "1 while it is on.", [(level, bool(now)) for level, now in shut])
    reports = seen.answers["processes"].value or []
    kinds = Counter((one.kind, str(one.version)) for one in reports)
    processes = [({"kind": kind, "version": version}, number) for (kind, version), number in kinds.items()]
    yield Figure("tecken_config_processes", "Processes by the version that they have in force.", processes)


def _redis(servers: dict[str, Facts]) -> Iterator[Figure]:
    texts = {
        "used_memory": ("tecken_redis_memory_bytes", "Memory in use."),
        "maxmemory": ("tecken_redis_maxmemory_bytes", "Memory that may be used; 0: no limit."),
        "clients": ("tecken_redis_clients", "Connected clients."),
        "maxclients": ("tecken_redis_maxclients", "Clients that may connect."),
        "hits": ("tecken_redis_hits", "Keys that were looked up and there, since the server's start."),
        "misses": ("tecken_redis_misses", "Keys that were looked up and not there."),
        "evicted": ("tecken_redis_evicted_keys", "Keys that went to make room."),
        "commands": ("tecken_redis_commands", "Commands carried out."),
    }
    for field, (name, text) in texts.items():
        samples = [({"server": server}, getattr(facts, field)) for server, facts in servers.items()]
        yield Figure(name, text, samples)


def _queue(now: Backlog) -> Iterator[Figure]:
    yield Figure(
        "tecken_queue_ready",
        "Jobs that wait for a worker.",
        [
            ({"queue": queue.name, "priority": str(priority)}, number)
            for queue in now.queues
            for priority, number in queue.by_priority.items()
        ],
    )
    yield Figure("tecken_queue_unacknowledged", "Jobs that are with a worker.", [({}, now.unacknowledged)])
    yield _known(
        "tecken_queue_oldest_seconds",
        "How long the job that is next has waited.",
        {q.name: q.oldest_seconds for q in now.queues},
    )
    yield _known(
        "tecken_queue_canary_seconds",
        "How long the last canary job waited.",
        {q.name: q.canary_seconds for q in now.queues},
    )
    yield _known(
        "tecken_queue_canary_age_seconds",
        "Since the last canary job ended.",
        {q.name: q.canary_age for q in now.queues},
    )
    yield Figure("tecken_queue_dead", "Jobs that were given up.", [({}, now.dead)])
    yield Figure("tecken_workers", "Workers that are there.", [({}, sum(w.alive for w in now.workers))])


def _known(name: str, text: str, values: dict[str, float | None]) -> Figure:
    samples = [({"queue": queue}, value) for queue, value in values.items() if value is not None]
    return Figure(name, text, samples)
