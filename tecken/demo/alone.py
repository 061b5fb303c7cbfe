"""Claim on the directory of a demo, which keeps the demo to one process.

The memory of this process holds both Redis servers, so another process would see none of their data.
"""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

_claims: list[int] = []
"""The file descriptor that holds the lock. The kernel ends the claim with the process."""


def claim(home: Path) -> bool:
    """Claim the directory `home` for this process. Return False if another process has it."""
    if not _claims:
        home.mkdir(parents=True, exist_ok=True)
        directory = os.open(home, os.O_RDONLY)
        if not _lock(directory):
            os.close(directory)
            return False
        _claims.append(directory)
    return True


def is_free(home: Path) -> bool:
    """Return whether `claim` would succeed, for a process that will start another."""
    if _claims or not home.exists():
        return True
    directory = os.open(home, os.O_RDONLY)
    try:
        return _lock(directory)
    finally:
        os.close(directory)


def _lock(directory: int) -> bool:
    """Lock the directory until its descriptor is closed. Return False if it is locked already."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_child() -> None:
    if _claims:
        print("❌ Demo mode refused: a demo is one process, and this one was forked from it", file=sys.stderr)
        sys.stderr.flush()
        # Python only prints an exception that is raised after a fork, so an exit is the way to end the child.
        os._exit(os.EX_CONFIG)


os.register_at_fork(after_in_child=_end_child)
