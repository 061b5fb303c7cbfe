"""A clock that a test sets; for code that takes its time from a function."""

from __future__ import annotations


class Clock:
    """Clock whose time, in seconds, changes only when a test changes `now`."""

    def __init__(self, now: float = 1000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
