"""What a process has to do without, by name. Read from memory only, so every answer and log line can tell.

stale-config    the runtime configuration was not heard of in time, so values may be old
store-away      redis-store does not answer: pages are read from their files
local-limits    rate limits are decided by this process's share of them
queue-down      no job can be sent: what is cold stays cold
maintenance     the whole site is shut
ok              none of these
"""

from __future__ import annotations

from typing import Literal, get_args

from tecken import wiring
from tecken.runtimeconfig import current

Mode = Literal["ok", "stale-config", "store-away", "local-limits", "queue-down", "maintenance"]
MODES: tuple[Mode, ...] = get_args(Mode)


def modes() -> tuple[Mode, ...]:
    """What the last who needed a part has found; nobody is asked."""
    now: dict[Mode, bool] = {
        "stale-config": current.is_stale(),
        "store-away": wiring.store_breaker().open,
        "local-limits": wiring.limits_are_local(),
        "queue-down": wiring.queue_breaker().open,
        "maintenance": current.is_shut(),
    }
    return tuple(mode for mode, holds in now.items() if holds) or ("ok",)


def text() -> str:
    return ",".join(modes())
