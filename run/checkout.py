"""Paths of this checkout, version.json, and the state that `make run` leaves in .run for other commands.

`python -m run.checkout ...` runs a management command for the servers of `make run`.
"""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tecken import __version__

ROOT = Path(__file__).resolve().parent.parent
HOME = ROOT / ".run"
STATE = HOME / "state.json"
LOG = HOME / "tecken.log"


@contextmanager
def claim(kind: int = fcntl.LOCK_EX) -> Iterator[bool]:
    """Claim the checkout, and yield whether that succeeded. The kernel ends the claim with the process.

    One process holds the exclusive claim while it runs the servers. Others use a shared one to find out.
    """
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True


def read_state() -> dict[str, str]:
    """Return the environment of the servers that `make run` started here; nothing when none runs."""
    with claim(fcntl.LOCK_SH) as is_free:
        if is_free or not STATE.exists():
            return {}
    return {str(name): str(value) for name, value in json.loads(STATE.read_text()).items()}


def read_dot_env() -> dict[str, str]:
    """Return the `NAME=value` lines of .env, which docker-compose reads, too."""
    path = ROOT / ".env"
    lines = path.read_text().splitlines() if path.exists() else []
    pairs = (line.split("=", 1) for line in lines if "=" in line and not line.lstrip().startswith("#"))
    return {name.strip(): value.strip() for name, value in pairs}


def environment(servers: dict[str, str]) -> dict[str, str]:
    """Return the environment of a process of this checkout.

    Exported variables override those of .env, and `servers`, those of `make run`, override both.
    """
    return {**read_dot_env(), **os.environ, **servers}


def write_version() -> None:
    """Write version.json, which `/__version__` serves."""
    document = {
        "source": "",
        "version": __version__,
        "commit": find_commit(),
        "build": os.environ.get("BUILD", ""),
    }
    (ROOT / "version.json").write_text(json.dumps(document) + "\n")


def find_commit() -> str:
    """Return the commit of the checkout: COMMIT where git is missing, as in an image, or nothing."""
    if commit := os.environ.get("COMMIT"):
        return commit
    try:
        return subprocess.check_output(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


if __name__ == "__main__":
    os.chdir(ROOT)
    os.execve(sys.executable, [sys.executable, "manage.py", *sys.argv[1:]], environment(read_state()))
