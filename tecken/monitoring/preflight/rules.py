"""Rules for both Redis servers and for the settings, and the facts of a server that they are about.

redis-cache keeps what must not be lost, and redis-store evicts. Facts come from INFO. Some problems of the
settings count in production only, and no text holds a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import redis
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tecken.redisclient import nodes
from tecken.storage.place_urls import parse_place
from tecken.storage.upstreams.entry import check_entry, join_platforms

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


# Facts


class Facts(NamedTuple):
    """State of a server at one time.

    Unknown values are "" or 0. Sizes are bytes, and the last four values count since the server started.
    """

    run_id: str
    version: tuple[int, ...]
    role: str
    maxmemory: int
    policy: str
    used_memory: int
    clients: int
    maxclients: int
    persistent: bool
    last_save_ok: bool
    loading: bool
    mode: str
    evicted: int
    hits: int
    misses: int
    commands: int
    # Of the host, or of all hosts of a cluster.
    system_memory: int = 0
    nodes: int = 1


def fetch_facts(client: redis.Redis) -> Facts:
    """Return the facts of a server, or of a cluster as one server; INFO works where CONFIG is forbidden.

    Raises:
        redis.RedisError: The server does not respond, or responds with an error.
    """
    infos: list[Any] = [node.info() for node in nodes(client)]
    return merge_facts([parse_info(info) for info in infos])


def merge_facts(nodes_facts: Sequence[Facts]) -> Facts:
    """Return the facts of a cluster as of one server: sums where they make sense, else the worst value."""
    first, *more = nodes_facts
    if not more:
        return first
    policies = {node.policy for node in nodes_facts}
    return first._replace(
        run_id=",".join(node.run_id for node in nodes_facts),
        version=min(node.version for node in nodes_facts),
        role=max((node.role for node in nodes_facts), key=lambda role: role != "master"),
        maxmemory=sum(node.maxmemory for node in nodes_facts)
        if all(node.maxmemory for node in nodes_facts)
        else 0,
        policy="noeviction" if "noeviction" in policies else ", ".join(sorted(policies)),
        used_memory=sum(node.used_memory for node in nodes_facts),
        clients=sum(node.clients for node in nodes_facts),
        maxclients=sum(node.maxclients for node in nodes_facts),
        persistent=all(node.persistent for node in nodes_facts),
        last_save_ok=all(node.last_save_ok for node in nodes_facts),
        loading=any(node.loading for node in nodes_facts),
        evicted=sum(node.evicted for node in nodes_facts),
        hits=sum(node.hits for node in nodes_facts),
        misses=sum(node.misses for node in nodes_facts),
        commands=sum(node.commands for node in nodes_facts),
        system_memory=sum(node.system_memory for node in nodes_facts)
        if all(node.system_memory for node in nodes_facts)
        else 0,
        nodes=len(nodes_facts),
    )


def parse_info(info: Mapping[str, Any]) -> Facts:
    """Return the facts in a reply to INFO, whose fields are in <https://redis.io/docs/latest/commands/info/>."""
    return Facts(
        run_id=str(info.get("run_id", "")),
        version=_version(str(info.get("redis_version", ""))),
        role=str(info.get("role", "")),
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        used_memory=int(info.get("used_memory", 0)),
        clients=int(info.get("connected_clients", 0)),
        maxclients=int(info.get("maxclients", 0)),
        persistent=_is_persistent(info),
        last_save_ok=_is_last_save_ok(info),
        loading=bool(info.get("loading", 0)),
        # Valkey has server_mode.
        mode=str(info.get("redis_mode", info.get("server_mode", ""))),
        evicted=int(info.get("evicted_keys", 0)),
        hits=int(info.get("keyspace_hits", 0)),
        misses=int(info.get("keyspace_misses", 0)),
        commands=int(info.get("total_commands_processed", 0)),
        system_memory=int(info.get("total_system_memory", 0)),
    )


def _version(text: str) -> tuple[int, ...]:
    """Return the version of Redis; Valkey reports the one that it is compatible with."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _is_persistent(info: Mapping[str, Any]) -> bool:
    # INFO does not report the schedule of snapshots, only that one was made since the start.
    return bool(info.get("aof_enabled", 0)) or int(info.get("rdb_last_bgsave_time_sec", -1)) >= 0


def _is_last_save_ok(info: Mapping[str, Any]) -> bool:
    fields = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    return all(info.get(name, "ok") == "ok" for name in fields)


# Settings

SITE = "site"
VARIABLES = {CACHE: "REDIS_URL", STORE: "REDIS_STORE_URL"}
MIN_KEY_CHARACTERS = 50
"""Minimum of Django's own check security.W009."""
MIN_KEY_DIFFERENT = 12
"""Fifty random characters have more, also hexadecimal ones."""
PUBLISHED_KEYS = (
    "django-insecure-",
    "for-local-use-only",
    "change-me",
    "changeme",
    "change_me",
    "your-secret-key",
)
"""Parts of keys in examples, in earlier versions of this repository, and in Django's templates."""
COMMON_PASSWORDS = (
    "tecken",
    "postgres",
    "password",
    "secret",
    "changeme",
    "change-me",
    "admin",
    "root",
    "test",
)
"""Database passwords that examples have or that attackers try first."""
MAKE_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def find_setting_problems() -> Iterator[Problem]:
    """Yield the problems of the settings."""
    yield from _check_places()
    if settings.DEMO_MODE:
        yield from _check_demo()
        return
    for server, variable in VARIABLES.items():
        if variable in settings.MALFORMED:
            text = f"{variable} is malformed: {settings.MALFORMED[variable]}"
            yield Problem("E01", "error", server, text)
        elif not getattr(settings, variable):
            yield Problem("E01", "error", server, f"{variable} environment variable is required")
    yield from _check_secret_key()
    if settings.ENVIRONMENT == "production":
        yield from _check_production()


def _check_places() -> Iterator[Problem]:
    """Yield the problems of the URLs of storage and upstreams."""
    checks = [
        ("STORAGE_URL", parse_place, [settings.STORAGE_URL]),
        ("TRY_STORAGE_URL", parse_place, [settings.TRY_STORAGE_URL] if settings.TRY_STORAGE_URL else []),
        ("SYMBOL_SOURCES", check_entry, join_platforms(settings.SYMBOL_SOURCES)),
    ]
    for variable, check, urls in checks:
        for url in urls:
            try:
                check(url)
            except ValueError as error:
                yield Problem("E17", "error", SITE, f"{variable} is malformed: {error}")


def _check_demo() -> Iterator[Problem]:
    if settings.ENVIRONMENT == "production":
        yield Problem("E14", "error", SITE, "DEMO_MODE is not for ENVIRONMENT=production")
    yield Problem("W14", "warning", SITE, "Using in-memory counters (DEMO_MODE)")
    yield Problem("W14", "warning", SITE, "Using in-memory queue (DEMO_MODE)")


def _check_secret_key() -> Iterator[Problem]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if not key:
        yield Problem("E15", "error", SITE, "SECRET_KEY environment variable is required")
    elif settings.ENVIRONMENT == "production" and (weakness := find_weakness(key)):
        yield Problem("E15", "error", SITE, f"SECRET_KEY {weakness}: sessions can be forged; {MAKE_KEY}")


def _check_production() -> Iterator[Problem]:
    if settings.DEBUG:
        yield _unsafe("DEBUG is on: error pages would show settings and code; remove it")
    if "*" in settings.ALLOWED_HOSTS:
        yield _unsafe(
            "ALLOWED_HOSTS has *: links would lead to whatever host a request names; name the site's own"
        )
    if unquote(urlsplit(settings.DATABASE_URL).password or "").lower() in COMMON_PASSWORDS:
        yield _unsafe(
            "the password in DATABASE_URL is a published one: set a random one, also in the database"
        )
    if settings.HTTPS_ONLY and not settings.SECURE_COOKIES:
        yield _unsafe("SECURE_COOKIES is off with HTTPS_ONLY: cookies would go over plain HTTP; remove it")


def find_weakness(key: str) -> str:
    """Return what is wrong with a SECRET_KEY; empty when nothing is."""
    if len(key) < MIN_KEY_CHARACTERS:
        return f"has less than {MIN_KEY_CHARACTERS} characters"
    if any(part in key.lower() for part in PUBLISHED_KEYS):
        return "is a published text"
    is_varied = len(set(key)) >= MIN_KEY_DIFFERENT
    return "" if is_varied else f"has less than {MIN_KEY_DIFFERENT} different characters"


def _unsafe(text: str) -> Problem:
    return Problem("E16", "error", SITE, text)
