"""What `make run` leaves in .run for the other commands: its servers, and whether they still run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".run"
STATE = HOME / "state.json"
LOG = HOME / "tecken.log"


@contextmanager
def claim(kind: int = fcntl.LOCK_EX) -> Iterator[bool]:
    """True for the one process that runs the servers; the kernel ends the claim with the process."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def running() -> dict[str, str]:
    """The environment of the servers that `make run` started here; empty when none runs."""
    with claim(fcntl.LOCK_SH) as nobody_runs:
        if nobody_runs or not STATE.exists():
            return {}
    return {str(name): str(value) for name, value in json.loads(STATE.read_text()).items()}


def dot_env() -> dict[str, str]:
    """`NAME=value` lines of .env, which docker-compose reads too."""
    path = ROOT / ".env"
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def environment(servers: dict[str, str]) -> dict[str, str]:
    """For a process of this checkout: what is exported wins over .env, our own servers over both."""
    return {**dot_env(), **os.environ, **servers}
