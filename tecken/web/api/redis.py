"""Operation that shows the state of both Redis servers to operators."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from ninja import Field, Router, Schema

from tecken.errors import Forbidden
from tecken.monitoring.health.panels import load_busiest_modules, load_panels
from tecken.monitoring.health.status import take_snapshot
from tecken.web.api.openapi import TokenPermission, grant_of

VIEW = "runtimeconfig.view_option"

router = Router(tags=["redis"], auth=TokenPermission())


class SlowRedisCommand(Schema):
    """Entry of a server's slow log."""

    at: datetime
    seconds: float
    command: str = Field(description="without its arguments")


class RedisRates(Schema):
    """Rates between two measurements."""

    seconds: float = Field(description="time between the measurements")
    evictions_per_second: float
    commands_per_second: float
    hit_ratio: float | None


class RedisMemory(Schema):
    """Memory of a server."""

    used: int = Field(description="bytes")
    maximum: int = Field(description="bytes; 0: no limit")
    share: float | None


class RedisPanel(Schema):
    """Measurements of a server."""

    role: str
    version: str
    policy: str
    persistent: bool
    memory: RedisMemory
    clients: int
    maxclients: int
    hits: int
    misses: int
    hit_ratio: float | None = Field(description="since the server's start; null without look-ups")
    evicted: int = Field(description="evicted keys since the server's start")
    rates: RedisRates | None = Field(description="null until this process has measured twice")
    slow: list[SlowRedisCommand] | None = Field(description="the newest first; null: not available")


class RedisState(Schema):
    """State of a server."""

    server: str
    why: str = Field(description="why it does not work; empty if it does")
    panel: RedisPanel | None = Field(description="null: the server does not answer")


class RedisProblem(Schema):
    """Problem of a server."""

    id: str
    level: Literal["error", "warning"]
    server: str
    text: str


class ModuleHits(Schema):
    """Requests for pages of a module."""

    debug_file: str
    debug_id: str
    hits: int
    misses: int


class RedisServers(Schema):
    """State of both servers."""

    servers: list[RedisState]
    changes: list[str] = Field(description="changes of a server since this process started")
    problems: list[RedisProblem] = Field(description="present problems of the servers")
    modules: list[ModuleHits] | None = Field(
        description="most requested modules of this hour and the previous one; null: not known"
    )


@router.get("", response=RedisServers, summary="Show memory, hits, evictions, clients and slow commands")
def show_servers(request: HttpRequest) -> object:
    """Return both servers, for users with the staff flag or `runtimeconfig.view_option`."""
    grant = grant_of(request)
    if VIEW not in grant.permissions and not (grant.token is None and grant.user.is_staff):
        raise Forbidden(f"This needs the permission {VIEW}, or the staff flag")
    snapshot = take_snapshot()
    return {
        "servers": load_panels(),
        "changes": snapshot.changes,
        "problems": snapshot.problems,
        "modules": load_busiest_modules(),
    }
