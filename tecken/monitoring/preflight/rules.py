"""Whether two servers are what a site needs: redis-cache keeps what must not be lost, redis-store evicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tecken.monitoring.preflight.facts import Facts

CACHE, STORE = "redis-cache", "redis-store"
OLDEST = (7, 0)
FULL, CROWDED = 0.9, 0.8  # of maxmemory, of maxclients


class Problem(NamedTuple):
    """`transient`: may pass without anybody's doing, so that it is worth to wait."""

    id: str
    level: Literal["error", "warning"]
    server: str
    text: str
    transient: bool = False


def judged(cache: Facts | None, store: Facts | None, production: bool) -> list[Problem]:
    """Of E04-E07, E10, W08 and W09. Nothing is said of a server that is None, nor of what is not told."""
    problems = [] if cache is None else [*_either(CACHE, cache), *_cache(cache)]
    if store is not None:
        problems += [*_either(STORE, store), *_store(store)]
    if cache and store and cache.run_id == store.run_id != "":
        problems.append(_same_server(production))
    return problems


def _either(server: str, facts: Facts) -> Iterator[Problem]:
    if facts.role not in ("", "master", "sentinel"):
        text = f"{server} is a replica and takes no writes: name the master, or the sentinels that know it"
        yield Problem("E04", "error", server, text, transient=True)
    if facts.loading:
        yield Problem("E04", "error", server, f"{server} is still loading its data", transient=True)
    if facts.mode == "sentinel":
        text = f"{server} is a sentinel, not a server: its URL starts with sentinel://"
        yield Problem("E10", "error", server, text)
    if facts.version and facts.version < OLDEST:
        found, oldest = (".".join(map(str, version)) for version in (facts.version, OLDEST))
        yield Problem(
            "E10", "error", server, f"{server} is Redis {found}; {oldest} is the oldest that will do"
        )
    yield from _room(server, facts)


def _room(server: str, facts: Facts) -> Iterator[Problem]:
    """A store is full by design."""
    if server == CACHE and facts.maxmemory and facts.used_memory > FULL * facts.maxmemory:
        share = facts.used_memory / facts.maxmemory
        yield Problem("W09", "warning", server, f"{server} uses {share:.0%} of its maxmemory")
    if facts.maxclients and facts.clients > CROWDED * facts.maxclients:
        text = f"{server} has {facts.clients} of at most {facts.maxclients} clients"
        yield Problem("W09", "warning", server, text)


def _cache(facts: Facts) -> Iterator[Problem]:
    if facts.policy.startswith("allkeys"):
        text = f"maxmemory-policy of {CACHE} is {facts.policy}: it may evict jobs; volatile-lru may not"
        yield Problem("E05", "error", CACHE, text)
    if facts.mode == "cluster":
        text = f"{CACHE} is a cluster, which has one database; the queue and the rest need databases 0 to 3"
        yield Problem("E10", "error", CACHE, text)
    if not facts.persistent:
        text = f"{CACHE} shows no persistence: jobs are lost when it restarts; set appendonly yes"
        yield Problem("W08", "warning", CACHE, text)
    if not facts.last_save_ok:
        yield Problem("W08", "warning", CACHE, f"{CACHE} could not write its data the last time it tried")


def _store(facts: Facts) -> Iterator[Problem]:
    if not facts.maxmemory:
        text = f"maxmemory of {STORE} is 0: it would grow until the machine has no memory left"
        yield Problem("E06", "error", STORE, text)
    if facts.policy == "noeviction":
        text = f"maxmemory-policy of {STORE} is noeviction: writes fail once it is full; set allkeys-lru"
        yield Problem("E06", "error", STORE, text)
    if facts.policy.startswith("volatile"):
        text = f"maxmemory-policy of {STORE} is {facts.policy}, and pages have no expiry; set allkeys-lru"
        yield Problem("W06", "warning", STORE, text)


def _same_server(production: bool) -> Problem:
    text = f"{CACHE} and {STORE} are the same server, and one policy cannot suit both"
    return Problem("E07", "error" if production else "warning", STORE, text)
