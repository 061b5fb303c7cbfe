"""What a Redis server says of itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import redis


class Facts(NamedTuple):
    """One look. What is not told is "" or 0. Sizes are bytes; the last four count since its start."""

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


def facts(client: redis.Redis) -> Facts:
    """One INFO, which works where CONFIG is forbidden. Raises what redis-py raises."""
    info = client.info()
    assert isinstance(info, dict)
    return read(info)


def read(info: Mapping[str, Any]) -> Facts:
    """Fields as in <https://redis.io/docs/latest/commands/info/>."""
    return Facts(
        run_id=str(info.get("run_id", "")),
        version=_version(str(info.get("redis_version", ""))),
        role=str(info.get("role", "")),
        maxmemory=int(info.get("maxmemory", 0)),
        policy=str(info.get("maxmemory_policy", "")),
        used_memory=int(info.get("used_memory", 0)),
        clients=int(info.get("connected_clients", 0)),
        maxclients=int(info.get("maxclients", 0)),
        persistent=_persistent(info),
        last_save_ok=_saved(info),
        loading=bool(info.get("loading", 0)),
        mode=str(info.get("redis_mode", "")),
        evicted=int(info.get("evicted_keys", 0)),
        hits=int(info.get("keyspace_hits", 0)),
        misses=int(info.get("keyspace_misses", 0)),
        commands=int(info.get("total_commands_processed", 0)),
    )


def _version(text: str) -> tuple[int, ...]:
    """Of Redis; Valkey names the one that it is compatible with."""
    return tuple(int(part) for part in text.split(".") if part.isdigit())


def _persistent(info: Mapping[str, Any]) -> bool:
    """Of snapshots INFO only tells that there was one since the start."""
    return bool(info.get("aof_enabled", 0)) or int(info.get("rdb_last_bgsave_time_sec", -1)) >= 0


def _saved(info: Mapping[str, Any]) -> bool:
    last = ("rdb_last_bgsave_status", "aof_last_write_status", "aof_last_bgrewrite_status")
    return all(info.get(name, "ok") == "ok" for name in last)
