"""Rules for both Redis servers: redis-cache keeps what must not be lost, and redis-store evicts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from tecken.monitoring.preflight.facts import Facts

CACHE, STORE = "redis-cache", "redis-store"
OLDEST_VERSION = (7, 0)
# Shares of maxmemory and of maxclients above which there is a warning.
MEMORY_SHARE, CLIENTS_SHARE = 0.9, 0.8


class Problem(NamedTuple):
    """Problem of a server or of the settings. A `transient` one may pass by itself."""

    id: str
    level: Literal["error", "warning"]
    server: str
    text: str
    transient: bool = False


def find_problems(cache: Facts | None, store: Facts | None, is_production: bool) -> list[Problem]:
    """Return the problems E04-E07, E10, W06, W08 and W09 of both servers.

    A server that is None has no problems, and neither have values that are unknown.
    """
    problems = [] if cache is None else [*_check_any(CACHE, cache), *_check_cache(cache)]
    if store is not None:
        problems += [*_check_any(STORE, store), *_check_store(store)]
    if cache and store and cache.run_id == store.run_id != "":
        problems.append(_same_server(is_production))
    return problems


def _check_any(server: str, facts: Facts) -> Iterator[Problem]:
    if facts.role not in ("", "master", "sentinel"):
        text = f"{server} is a replica and takes no writes: name the master, or the sentinels that know it"
        yield Problem("E04", "error", server, text, transient=True)
    if facts.loading:
        yield Problem("E04", "error", server, f"{server} is still loading its data", transient=True)
    if facts.mode == "sentinel":
        text = f"{server} is a sentinel, not a server: its URL starts with sentinel://"
        yield Problem("E10", "error", server, text)
    if facts.version and facts.version < OLDEST_VERSION:
        actual, oldest = (".".join(map(str, version)) for version in (facts.version, OLDEST_VERSION))
        text = f"{server} is Redis {actual}; {oldest} is the oldest supported version"
        yield Problem("E10", "error", server, text)
    yield from _check_room(server, facts)


def _check_room(server: str, facts: Facts) -> Iterator[Problem]:
    # A store is full by design.
    if server == CACHE and facts.maxmemory and facts.used_memory > MEMORY_SHARE * facts.maxmemory:
        share = facts.used_memory / facts.maxmemory
        yield Problem("W09", "warning", server, f"{server} uses {share:.0%} of its maxmemory")
    if facts.maxclients and facts.clients > CLIENTS_SHARE * facts.maxclients:
        text = f"{server} has {facts.clients} of at most {facts.maxclients} clients"
        yield Problem("W09", "warning", server, text)


def _check_cache(facts: Facts) -> Iterator[Problem]:
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


def _check_store(facts: Facts) -> Iterator[Problem]:
    if not facts.maxmemory:
        text = f"maxmemory of {STORE} is 0: it would grow until the machine has no memory left"
        yield Problem("E06", "error", STORE, text)
    if facts.policy == "noeviction":
        text = f"maxmemory-policy of {STORE} is noeviction: writes fail once it is full; set allkeys-lru"
        yield Problem("E06", "error", STORE, text)
    if facts.policy.startswith("volatile"):
        text = f"maxmemory-policy of {STORE} is {facts.policy}, and pages have no expiry; set allkeys-lru"
        yield Problem("W06", "warning", STORE, text)


def _same_server(is_production: bool) -> Problem:
    text = f"{CACHE} and {STORE} are the same server, and one policy cannot suit both"
    return Problem("E07", "error" if is_production else "warning", STORE, text)
