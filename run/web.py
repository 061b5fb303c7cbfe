"""`python -m run.web`: the web server, one worker process per CPU. GRANIAN_* variables override any of it."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from django.conf import settings

from run import drain
from tecken.servers.entrance import entrance

DEFAULTS = {
    "GRANIAN_INTERFACE": "wsgi",
    "GRANIAN_HOST": "127.0.0.1",
    "GRANIAN_PORT": "8000",
    "GRANIAN_WORKERS": str(
        len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    ),
    # A request that waits for a cold module holds its thread: with one, a few of them would stop the site.
    "GRANIAN_BLOCKING_THREADS": "8",
    "GRANIAN_RESPAWN_FAILED_WORKERS": "true",
    "GRANIAN_LOG_LEVEL": "warning",
    "GRANIAN_LOG_CONFIG": str(Path(__file__).with_name("granian.json")),  # lines as the site's
}


def count_anew(directory: Path) -> None:
    """Forgets what processes have counted that have ended; a worker may be there already."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("*.db"):
        if not _runs(path.stem.rpartition("_")[2]):
            path.unlink()


def _runs(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        pass
    return True


if __name__ == "__main__":
    # Not in each process of granian, which ends with a status of its own; and one that replaces another
    # while Redis is away serves what it can.
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    entrance()
    if settings.DEMO_MODE and os.environ.setdefault("GRANIAN_WORKERS", "1") != "1":
        print("❌ Configuration validation failed: DEMO_MODE is for GRANIAN_WORKERS=1", file=sys.stderr)
        sys.exit(os.EX_CONFIG)
    if metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        count_anew(Path(metrics))
    command = [sys.executable, "-m", "granian", "tecken.application:application"]
    environment = {**DEFAULTS, **os.environ}
    if seconds := float(environment.get("DRAIN_SECONDS", "0")):
        sys.exit(drain.run(command, environment, seconds))
    os.execve(sys.executable, command, environment)
