"""What a server has become since this process first saw it, in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from tecken.monitoring.preflight.facts import Facts

Read = Callable[[Facts], str]

WATCHED: Mapping[str, Read] = {
    "role": lambda facts: facts.role,
    "maxmemory-policy": lambda facts: facts.policy,
    "maxmemory": lambda facts: str(facts.maxmemory),
    "mode": lambda facts: facts.mode,
    "persistence": lambda facts: "on" if facts.persistent else "off",
}
"""What somebody may set, or a failover bring, while everything runs. Names are those of redis.conf."""


class Drift:
    """Remembers the first facts of each server."""

    def __init__(self) -> None:
        self._first: dict[str, Facts] = {}

    def changes(self, server: str, now: Facts) -> list[str]:
        """`maxmemory-policy of redis-store became noeviction (it was allkeys-lru at start)`."""
        return list(_changes(server, self._first.setdefault(server, now), now))


def _changes(server: str, before: Facts, now: Facts) -> Iterator[str]:
    for name, read in WATCHED.items():
        was, became = read(before), read(now)
        if was and became and was != became:
            yield f"{name} of {server} became {became} (it was {was} at start)"
