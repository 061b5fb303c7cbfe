"""Helpers that wait for another thread or process."""

from __future__ import annotations

from collections.abc import Callable
from threading import Event
from time import monotonic

from tecken.runtimeconfig.backend import Change
from tecken.runtimeconfig.process import ConfigBackend

LONGEST = 30.0


def wait_until(condition: Callable[[], object]) -> None:
    """Wait until a condition holds. Raise TimeoutError."""
    deadline, never = monotonic() + LONGEST, Event()
    while not condition():
        if monotonic() > deadline:
            raise TimeoutError
        # Other threads need the processor, too.
        never.wait(0.002)


def put(backend: ConfigBackend, version: int, stamp: str = "", **texts: str) -> None:
    """Replace the values, regardless of the version."""
    change = Change(version, stamp or f"stamp {version}", "alice", "", "2026-11-21T22:00:00+00:00", "cli")
    backend.write(change, texts, expected=backend.read().version)
