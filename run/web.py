"""`python -m run.web`: the web server, one process per CPU, after a check of the configuration."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from django.conf import settings

from run import drain
from tecken.monitoring.preflight.startup import check_start

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
DEFAULTS = {"WEB_HOST": "127.0.0.1", "WEB_PORT": "8000", "WEB_PROCESSES": str(CPUS)}


def old_names(environment: Mapping[str, str]) -> list[str]:
    """Return the variables of the web server that Tecken used before, which have no effect any more."""
    return sorted(name for name in environment if name.startswith("GRANIAN_"))


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


def main() -> int:  # noqa: RET503 - execve does not return
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    # The check is made here and not in each web process: a process that replaces another one while Redis is
    # down serves what it can.
    check_start()
    if settings.DEMO_MODE and os.environ.setdefault("WEB_PROCESSES", "1") != "1":
        return refuse("DEMO_MODE is for WEB_PROCESSES=1")
    if names := old_names(os.environ):
        return refuse(f"{', '.join(names)}: replaced by {', '.join(DEFAULTS)}")
    if metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        count_anew(Path(metrics))
    command = [sys.executable, "-m", "tecken.front"]
    environment = {**DEFAULTS, **os.environ}
    if seconds := float(environment.get("DRAIN_SECONDS", "0")):
        return drain.run(command, environment, seconds)
    os.execve(sys.executable, command, environment)


def refuse(problem: str) -> int:
    print(f"❌ Configuration validation failed: {problem}", file=sys.stderr)
    return os.EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
