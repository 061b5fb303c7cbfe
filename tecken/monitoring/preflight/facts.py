"""What a Redis server says of itself."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import redis

from tecken.redisclient import nodes


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
    """One INFO (of each node), which works where CONFIG is forbidden. Raises what redis-py raises."""
    infos: list[Any] = [node.info() for node in nodes(client)]
    return together([read(info) for info in infos])


def together(told: Sequence[Facts]) -> Facts:
    """Of a cluster's nodes as of one server: what can be added up is, and of the rest the worst counts."""
    first, *more = told
    if not more:
        return first
    policies = {each.policy for each in told}
    return first._replace(
        run_id=",".join(each.run_id for each in told),
        version=min(each.version for each in told),
        role=max((each.role for each in told), key=lambda role: role != "master"),
        maxmemory=sum(each.maxmemory for each in told) if all(each.maxmemory for each in told) else 0,
        policy="noeviction" if "noeviction" in policies else ", ".join(sorted(policies)),
        used_memory=sum(each.used_memory for each in told),
        clients=sum(each.clients for each in told),
        maxclients=sum(each.maxclients for each in told),
        persistent=all(each.persistent for each in told),
        last_save_ok=all(each.last_save_ok for each in told),
        loading=any(each.loading for each in told),
        evicted=sum(each.evicted for each in told),
        hits=sum(each.hits for each in told),
        misses=sum(each.misses for each in told),
        commands=sum(each.commands for each in told),
    )


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
        mode=str(info.get("redis_mode", info.get("server_mode", ""))),  # the latter on Valkey
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
