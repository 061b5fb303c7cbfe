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

import time
from collections.abc import Callable, Mapping
from typing import Literal, get_args

from tecken.jobs import sending
from tecken.limits import services as limits_services
from tecken.runtimeconfig import current
from tecken.services import per_process
from tecken.storage import services as storage_services
from tecken.store import services as store_services

# CELERY_BEAT_SCHEDULE sends one into each queue as often.
PERIOD_SECONDS = 15.0
# One may be late because beat was restarted or a worker was busy; four in a row are no accident.
LATE_SECONDS = 4 * PERIOD_SECONDS


class CanaryWatch:
    """Memory of the time since which canaries are expected, and of the queues in which they are late.

    Nothing is late before canaries had the time to arrive: after a start, after an outage of redis-cache, and
    after maintenance, during which workers take no jobs. The time counts from the latest of them.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._expected_since = clock()
        self.late: tuple[str, ...] = ()

    def update(self, ages: Mapping[str, float | None]) -> None:
        """Set the late queues from the seconds since each queue's last canary; None: it never had one."""
        if self._clock() - self._expected_since < LATE_SECONDS:
            self.late = ()
        else:
            self.late = tuple(name for name, age in ages.items() if age is None or age > LATE_SECONDS)

    def postpone(self) -> None:
        """Expect no canary before LATE_SECONDS from now."""
        self._expected_since = self._clock()
        self.late = ()


@per_process
def canary_watch() -> CanaryWatch:
    """Return the watch of this process. Builds nothing else: log lines read it."""
    return CanaryWatch()


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
    # Each of these reads memory. A log line of a failed call must not call again.
    holds: dict[State, bool] = {
        "stale-config": current.is_stale(),
        "store-away": store_services.store_guard().breaker.open,
        "local-limits": limits_services.limits_are_local(),
        "queue-down": sending.queue_is_down(),
        "jobs-stalled": bool(canary_watch().late),
        "disk-full": any(space.why_not for space in storage_services.disk_space().last()),
        "maintenance": current.is_shut(),
    }
    return tuple(state for state, is_set in holds.items() if is_set) or ("ok",)


def states_text() -> str:
    """Return the degraded states as the X-Tecken-State header and log lines have them."""
    return ",".join(degraded_states())
