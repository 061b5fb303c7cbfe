"""What a process has to do without, by name. Read from memory only, so every answer and log line can tell.

stale-config    the runtime configuration was not heard of in time, so values may be old
store-away      redis-store does not answer: pages are read from their files
local-limits    rate limits are decided by this process's share of them
queue-down      no job can be sent: what is cold stays cold
jobs-stalled    canary jobs do not get through: no beat or no worker runs, or all workers are stuck
disk-full       a disk has less than its reserve left: uploads are refused
maintenance     the whole site is shut
ok              none of these
"""

from __future__ import annotations

from typing import Literal, get_args

from tecken import wiring
from tecken.runtimeconfig import current

Mode = Literal[
    "ok",
    "stale-config",
    "store-away",
    "local-limits",
    "queue-down",
    "jobs-stalled",
    "disk-full",
    "maintenance",
]
MODES: tuple[Mode, ...] = get_args(Mode)


def modes() -> tuple[Mode, ...]:
    """Return the degraded states that are known to this process. Reads memory only."""
    now: dict[Mode, bool] = {
        "stale-config": current.is_stale(),
        "store-away": wiring.store_breaker().open,
        "local-limits": wiring.limits_are_local(),
        "queue-down": wiring.queue_breaker().open,
        "jobs-stalled": bool(wiring.canary_watch().late),
        "disk-full": any(space.why_not for space in wiring.disk_space().last()),
        "maintenance": current.is_shut(),
    }
    return tuple(mode for mode, holds in now.items() if holds) or ("ok",)


def text() -> str:
    return ",".join(modes())
