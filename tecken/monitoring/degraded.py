"""Degraded states of a process, by name. Read from memory only, so every response and log line can have them.

stale-config    the runtime configuration was not refreshed in time, so values may be old
store-away      redis-store does not respond: pages are read from their files
local-limits    rate limits are decided by this process's share of them
queue-down      no job can be sent: modules without pages are not converted
jobs-stalled    canary jobs do not get through: no beat or no worker runs, or all workers are stuck
disk-full       a disk has less than its reserve left: uploads are refused
maintenance     the whole site is closed
ok              none of these
"""

from __future__ import annotations

from typing import Literal, get_args

from tecken.jobs import sending
from tecken.limits import services as limits_services
from tecken.monitoring import canaries
from tecken.runtimeconfig import current
from tecken.storage import services as storage_services
from tecken.store import services as store_services

State = Literal[
    "ok",
    "stale-config",
    "store-away",
    "local-limits",
    "queue-down",
    "jobs-stalled",
    "disk-full",
    "maintenance",
]
STATES: tuple[State, ...] = get_args(State)


def degraded_states() -> tuple[State, ...]:
    """Return the degraded states that are known to this process. Reads memory only."""
    holds: dict[State, bool] = {
        "stale-config": current.is_stale(),
        "store-away": store_services.store_guard().breaker.open,
        "local-limits": limits_services.limits_are_local(),
        "queue-down": sending.queue_is_down(),
        "jobs-stalled": bool(canaries.canary_watch().late),
        "disk-full": any(space.why_not for space in storage_services.disk_space().last()),
        "maintenance": current.is_shut(),
    }
    return tuple(state for state, is_set in holds.items() if is_set) or ("ok",)


def states_text() -> str:
    """Return the degraded states as the X-Tecken-State header and log lines have them."""
    return ",".join(degraded_states())
