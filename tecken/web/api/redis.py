"""Both Redis servers, for operators."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from django.http import HttpRequest
from ninja import Field, Router, Schema

from tecken.errors import NotAllowed
from tecken.monitoring.health.panels import load_busiest_modules, load_panels
from tecken.monitoring.health.snapshot import take_snapshot
from tecken.web.api.auth import Permitted, grant_of

VIEW = "runtimeconfig.view_option"

router = Router(tags=["redis"], auth=Permitted())


class Slow(Schema):
    at: datetime
    seconds: float
    command: str = Field(description="without its arguments")


class Rates(Schema):
    seconds: float = Field(description="the stretch that these are of")
    evictions_per_second: float
    commands_per_second: float
    hit_ratio: float | None


class Memory(Schema):
    used: int = Field(description="bytes")
    maximum: int = Field(description="bytes; 0: no limit")
    share: float | None


class Panel(Schema):
    role: str
    version: str
    policy: str
    persistent: bool
    memory: Memory
    clients: int
    maxclients: int
    hits: int
    misses: int
    hit_ratio: float | None = Field(description="since the server's start; null: nothing was looked up")
    evicted: int = Field(description="keys that went to make room, since the server's start")
    rates: Rates | None = Field(description="null until the process that answers has looked twice")
    slow: list[Slow] | None = Field(description="the newest first; null: the server does not say")


class Server(Schema):
    server: str
    why: str = Field(description="why it does not do its work; mostly empty")
    panel: Panel | None = Field(description="null: it does not answer")


class Problem(Schema):
    id: str
    level: Literal["error", "warning"]
    server: str
    text: str


class Module(Schema):
    debug_file: str
    debug_id: str
    hits: int
    misses: int


class Servers(Schema):
    servers: list[Server]
    changes: list[str] = Field(description="what a server has become since this process first saw it")
    problems: list[Problem] = Field(description="what is wrong with them now")
    modules: list[Module] | None = Field(
        description="whose pages the store had most often, in this hour and the one before; null: not known"
    )


@router.get("", response=Servers, summary="Memory, hits, evictions, clients and slow commands")
def show_servers(request: HttpRequest) -> object:
    """For users with the staff flag, and for whoever has `runtimeconfig.view_option`."""
    grant = grant_of(request)
    if VIEW not in grant.permissions and not (grant.token is None and grant.user.is_staff):
        raise NotAllowed(f"This needs the permission {VIEW}, or the staff flag")
    snapshot = take_snapshot()
    return {
        "servers": load_panels(),
        "changes": snapshot.changes,
        "problems": snapshot.problems,
        "modules": load_busiest_modules(),
    }
