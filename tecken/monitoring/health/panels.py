"""Details of both Redis servers, for operators."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis

from tecken import services
from tecken.monitoring.health.status import HealthSnapshot, take_snapshot
from tecken.monitoring.preflight.rules import CACHE, STORE, Facts
from tecken.redisclient import nodes
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.access_counts import busiest

SLOW_COMMANDS = 16
BUSIEST_MODULES = 20
LONGEST_SECONDS = 60.0
"""Longest time between the two snapshots that rates are computed from."""


class SlowCommand(NamedTuple):
    """Entry of the slow log, without the arguments, which may be a session or a page."""

    at: datetime
    seconds: float
    command: str


class Rates(NamedTuple):
    """Rates of the last `seconds`."""

    seconds: float
    evictions_per_second: float
    commands_per_second: float
    hit_ratio: float | None


class Memory(NamedTuple):
    """Memory of a server in bytes; `share` is None without a limit."""

    used: int
    maximum: int
    share: float | None


class Panel(NamedTuple):
    """State of a server. `hit_ratio` is since the server started.

    `rates` is None until the second snapshot, `slow` where the slow log may not be read.
    """

    role: str
    version: str
    policy: str
    persistent: bool
    memory: Memory
    clients: int
    maxclients: int
    hits: int
    misses: int
    hit_ratio: float | None
    evicted: int
    rates: Rates | None
    slow: Sequence[SlowCommand] | None


class ServerPanel(NamedTuple):
    """Server with the reason why it does not work, if any. `panel` is None when it does not respond."""

    server: str
    why: str
    panel: Panel | None


class History:
    """Recent facts of one server."""

    def __init__(self) -> None:
        self._entries: deque[tuple[float, Facts]] = deque()

    def compute_rates(self, at: float, facts: Facts) -> Rates | None:
        """Add the facts of monotonic time `at`; return None without earlier ones of the same server."""
        entries = self._entries
        # Counters begin at zero again when the server restarts or another one takes its place.
        if entries and (entries[-1][1].run_id != facts.run_id or entries[-1][1].commands > facts.commands):
            entries.clear()
        if not entries or entries[-1][0] < at:
            entries.append((at, facts))
        while at - entries[0][0] > LONGEST_SECONDS and len(entries) > 2:
            entries.popleft()
        first_at, first = entries[0]
        return _compute_rates(at - first_at, first, facts) if at > first_at else None


def _compute_rates(seconds: float, first: Facts, last: Facts) -> Rates:
    return Rates(
        seconds=round(seconds, 3),
        evictions_per_second=(last.evicted - first.evicted) / seconds,
        commands_per_second=(last.commands - first.commands) / seconds,
        hit_ratio=_ratio(last.hits - first.hits, last.misses - first.misses),
    )


@services.per_process
def histories() -> dict[str, History]:
    """Return the histories of this process by server."""
    return {CACHE: History(), STORE: History()}


def load_panels() -> list[ServerPanel]:
    """Return a panel per server."""
    snapshot = take_snapshot()
    clients = {CACHE: redis_services.cache_client, STORE: store_services.store_client}
    return [
        ServerPanel(name, snapshot.why_not(name), _load_panel(snapshot, name, client))
        for name, client in clients.items()
    ]


def _load_panel(snapshot: HealthSnapshot, name: str, client: Callable[[], redis.Redis]) -> Panel | None:
    server = snapshot.server(name)
    if server is None:
        return None
    facts = server.facts
    return Panel(
        role=facts.role,
        version=".".join(map(str, facts.version)),
        policy=facts.policy,
        persistent=facts.persistent,
        memory=Memory(facts.used_memory, facts.maxmemory, _share(facts)),
        clients=facts.clients,
        maxclients=facts.maxclients,
        hits=facts.hits,
        misses=facts.misses,
        hit_ratio=_ratio(facts.hits, facts.misses),
        evicted=facts.evicted,
        rates=histories()[name].compute_rates(snapshot.results[name].at, facts),
        slow=_load_slow_commands(client()),
    )


def load_busiest_modules() -> list[dict[str, Any]] | None:
    """Return the modules with most hits in the store; None when redis-cache does not respond."""
    try:
        rows = busiest(redis_services.cache_client(), BUSIEST_MODULES, time.time())
    except redis.RedisError:
        return None
    return [
        {
            "debug_file": row.module.debug_file,
            "debug_id": row.module.debug_id,
            "hits": row.hits,
            "misses": row.misses,
        }
        for row in rows
    ]


def _share(facts: Facts) -> float | None:
    return facts.used_memory / facts.maxmemory if facts.maxmemory else None


def _ratio(hits: int, misses: int) -> float | None:
    return hits / (hits + misses) if hits + misses > 0 else None


def _load_slow_commands(client: redis.Redis) -> list[SlowCommand] | None:
    """Return the newest entries of the slow log; None where it may not be read, as on many managed servers.

    See <https://redis.io/docs/latest/commands/slowlog-get/>.
    """
    try:
        entries: list[Any] = [entry for node in nodes(client) for entry in node.slowlog_get(SLOW_COMMANDS)]
    except redis.RedisError:
        return None
    return [_parse_entry(entry) for entry in entries]


def _parse_entry(entry: dict[str, Any]) -> SlowCommand:
    at = datetime.fromtimestamp(entry["start_time"], UTC)
    words = entry["command"].split(maxsplit=1)
    return SlowCommand(
        at, entry["duration"] / 1e6, words[0].decode(errors="replace").upper() if words else ""
    )
