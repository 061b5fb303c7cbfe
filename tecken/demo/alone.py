"""A demo is one process: what it has in memory, no other process would see."""

from __future__ import annotations

import fcntl
import os
import sys
from pathlib import Path

_claimed: list[int] = []


def claim(home: Path) -> bool:
    """Whether no other process has `home`, a directory; until this one ends it is ours then."""
    if not _claimed:
        home.mkdir(parents=True, exist_ok=True)
        directory = os.open(home, os.O_RDONLY)
        if not _locked(directory):
            os.close(directory)
            return False
        _claimed.append(directory)
    return True


def is_free(home: Path) -> bool:
    """Whether `claim` would succeed, for a process that will start another."""
    if _claimed or not home.exists():
        return True
    directory = os.open(home, os.O_RDONLY)
    try:
        return _locked(directory)
    finally:
        os.close(directory)


def _locked(directory: int) -> bool:
    """Until it is closed."""
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _end_child() -> None:
    """Nothing else ends a process here: what such a function raises is only printed."""
    if _claimed:
        print("❌ Demo mode refused: a demo is one process, and this one was forked from it", file=sys.stderr)
        sys.stderr.flush()
        os._exit(os.EX_CONFIG)


os.register_at_fork(after_in_child=_end_child)
