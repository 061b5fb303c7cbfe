"""Judgement of the canaries: small jobs that beat sends into each queue, to prove that jobs get through."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from tecken.services import per_process

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

    def judge(self, ages: Mapping[str, float | None]) -> None:
        """Judge the seconds since the last canary of each queue; None for a queue that never had one."""
        if self._clock() - self._expected_since < LATE_SECONDS:
            self.late = ()
        else:
            self.late = tuple(name for name, age in ages.items() if age is None or age > LATE_SECONDS)

    def excuse(self) -> None:
        """Expect no canary before LATE_SECONDS from now."""
        self._expected_since = self._clock()
        self.late = ()


@per_process
def canary_watch() -> CanaryWatch:
    """Return the judgement of the last health check. Builds nothing else: log lines read it."""
    return CanaryWatch()
