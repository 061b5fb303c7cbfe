"""Both Redis servers, as an operator wants to see them."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis

from tecken import wiring
from tecken.health.status import Sight, sight
from tecken.redisclient import nodes
from tecken.servers.facts import Facts
from tecken.servers.judge import CACHE, STORE
from tecken.store.hit_counts import busiest

SLOW = 16
"""Commands of the server's slow log that are shown, the newest first."""
MODULES = 20
LONGEST_SECONDS = 60.0
"""Rates are of what happened between two looks that are at most so far apart."""


class Slow(NamedTuple):
    """A command without its arguments, which may be somebody's session or page."""

    at: datetime
    seconds: float
    command: str


class Rates(NamedTuple):
    """Of the last `seconds`."""

    seconds: float
    evictions_per_second: float
    commands_per_second: float
    hit_ratio: float | None


class Memory(NamedTuple):
    used: int
    maximum: int
    share: float | None


class Panel(NamedTuple):
    """`hit_ratio` is since the server's start. `rates` are null until the second look, `slow` where the
    server does not say."""

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
    slow: Sequence[Slow] | None


class Shown(NamedTuple):
    """`why` a server does not do its work; mostly empty. `panel` is null when it does not answer."""

    server: str
    why: str
    panel: Panel | None


class History:
    """What one server said lately."""

    def __init__(self) -> None:
        self._said: deque[tuple[float, Facts]] = deque()

    def rates(self, at: float, now: Facts) -> Rates | None:
        """`at` is in seconds, of a clock that is not set. None without an earlier look at the same server."""
        said = self._said
        if said and (said[-1][1].run_id != now.run_id or said[-1][1].commands > now.commands):
            said.clear()
        if not said or said[-1][0] < at:
            said.append((at, now))
        while at - said[0][0] > LONGEST_SECONDS and len(said) > 2:
            said.popleft()
        first_at, first = said[0]
        return _rates(at - first_at, first, now) if at > first_at else None


def _rates(seconds: float, first: Facts, now: Facts) -> Rates:
    return Rates(
        seconds=round(seconds, 3),
        evictions_per_second=(now.evicted - first.evicted) / seconds,
        commands_per_second=(now.commands - first.commands) / seconds,
        hit_ratio=_ratio(now.hits - first.hits, now.misses - first.misses),
    )


@wiring.once
def histories() -> dict[str, History]:
    """Of this process."""
    return {CACHE: History(), STORE: History()}


def panels() -> list[Shown]:
    seen = sight()
    clients = {CACHE: wiring.cache_client, STORE: wiring.store_client}
    return [Shown(name, seen.why_not(name), _panel(seen, name, made)) for name, made in clients.items()]


def _panel(seen: Sight, name: str, client: Callable[[], redis.Redis]) -> Panel | None:
    server = seen.server(name)
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
        rates=histories()[name].rates(seen.answers[name].at, facts),
        slow=_slow(client()),
    )


def modules() -> list[dict[str, Any]] | None:
    """Whose pages the store had, the busiest first. None when nobody can tell."""
    try:
        rows = busiest(wiring.cache_client(), MODULES, time.time())
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


def _slow(client: redis.Redis) -> list[Slow] | None:
    """<https://redis.io/docs/latest/commands/slowlog-get/>; managed servers often forbid it."""
    try:
        entries: list[Any] = [entry for node in nodes(client) for entry in node.slowlog_get(SLOW)]
    except redis.RedisError:
        return None
    return [_entry(entry) for entry in entries]


def _entry(entry: dict[str, Any]) -> Slow:
    at = datetime.fromtimestamp(entry["start_time"], UTC)
    words = entry["command"].split(maxsplit=1)
    return Slow(at, entry["duration"] / 1e6, words[0].decode(errors="replace").upper() if words else "")
