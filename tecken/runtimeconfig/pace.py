"""Moments at which a watcher polls and subscribes, spread over the processes of a fleet.

All processes of a fleet lose their subscriptions at the same moment: Redis restarts, or fails over. If all of
them connected again at once, a thousand would wait for each other, and the backlog of Redis (511 connections)
would overflow: a client whose connection was dropped there waits for a second. So each process polls when it
would have polled anyway, which finds every change within one interval, and subscribes at a random moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from random import Random

# Parts of the interval. The longest one leaves time for the poll itself.
SHORTEST_TICK, LONGEST_TICK = 0.75, 0.9
# Seconds.
LONGEST_PAUSE = 30.0


class Pace:
    """Next poll and next subscription of one process."""

    def __init__(
        self, interval: float, clock: Callable[[], float] = time.monotonic, random: Random | None = None
    ) -> None:
        self._interval, self._clock = interval, clock
        # Not the shared generator: a fork while another thread holds its lock would block the child.
        self._random = random or Random()  # noqa: S311
        self._pause = interval
        self.tick_at = self.subscribe_at = clock()

    def is_tick_due(self) -> bool:
        """Return whether to poll now."""
        return self._clock() >= self.tick_at

    def is_subscription_due(self) -> bool:
        """Return whether to subscribe now."""
        return self._clock() >= self.subscribe_at

    def plan_tick(self) -> None:
        """Plan the next poll, within one interval."""
        self.tick_at = self._clock() + self._interval * self._random.uniform(SHORTEST_TICK, LONGEST_TICK)

    def plan_subscription(self) -> None:
        """Plan the next attempt to subscribe, at a random moment of a pause that doubles each time."""
        self.subscribe_at = self._clock() + self._pause * self._random.random()
        self._pause = min(self._pause * 2, LONGEST_PAUSE)

    def reset_pause(self) -> None:
        """Let the next pause be an interval again: the backend has answered."""
        self._pause = self._interval
