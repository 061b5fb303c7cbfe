"""Facts of a Redis server, from its INFO."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis

from tecken.redisclient import nodes


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
