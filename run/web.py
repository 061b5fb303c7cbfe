"""The web server of a site, started after the preflight: `python -m run.web`.

It has one process per CPU. With DRAIN_SECONDS it tells load balancers before it ends: `/health/ready`
responds with 503 while DRAIN_FILE exists, and requests are still served.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Timer
from types import FrameType

from django.conf import settings

from tecken.monitoring.preflight.startup import check_start

CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
DEFAULTS = {"WEB_HOST": "127.0.0.1", "WEB_PORT": "8000", "WEB_PROCESSES": str(CPUS)}


def find_obsolete(environment: Mapping[str, str]) -> list[str]:
    """Return variables of the previous web server, which have no effect."""
    return sorted(name for name in environment if name.startswith("GRANIAN_"))


def remove_stale_metrics(directory: Path) -> None:
    """Remove the metrics of processes that have ended. A worker may be running already."""
    directory.mkdir(parents=True, exist_ok=True)
    for path in directory.glob("*.db"):
        if not _is_running(path.stem.rpartition("_")[2]):
            path.unlink()


def _is_running(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ProcessLookupError, OverflowError, ValueError):
        return False
    except PermissionError:
        # The process exists, and belongs to another user.
        pass
    return True


def main() -> int:  # noqa: RET503 - execve does not return
    """Run the preflight and replace this process by the web server."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    # Web processes do not repeat the preflight. One that replaces another while Redis is down has to serve
    # the requests that need no Redis.
    check_start()
    if settings.DEMO_MODE and os.environ.setdefault("WEB_PROCESSES", "1") != "1":
        return refuse("DEMO_MODE is for WEB_PROCESSES=1")
    if names := find_obsolete(os.environ):
        return refuse(f"{', '.join(names)}: replaced by {', '.join(DEFAULTS)}")
    if metrics := os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        remove_stale_metrics(Path(metrics))
    command = [sys.executable, "-m", "tecken.front"]
    environment = {**DEFAULTS, **os.environ}
    if seconds := float(environment.get("DRAIN_SECONDS", "0")):
        return run_draining(command, environment, seconds)
    os.execve(sys.executable, command, environment)


def run_draining(command: Sequence[str], environment: Mapping[str, str], seconds: float) -> int:
    """Run the server, and delay SIGTERM by `seconds`. A second SIGTERM ends the server at once.

    Returns:
        The exit status of the server.
    """
    with TemporaryDirectory(prefix="drain-") as home:
        file = Path(environment.get("DRAIN_FILE") or Path(home) / "draining")
        file.unlink(missing_ok=True)
        server = subprocess.Popen(command, env={**environment, "DRAIN_FILE": str(file)})
        timer = Timer(seconds, server.terminate)
        timer.daemon = True

        def end(_number: int, _frame: FrameType | None) -> None:
            if file.exists():
                server.terminate()
            else:
                file.touch()
                timer.start()

        signal.signal(signal.SIGTERM, end)
        # The terminal sends Ctrl-C to the server, too.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        status = server.wait()
        file.unlink(missing_ok=True)
    return status if status >= 0 else 128 - status


def refuse(problem: str) -> int:
    """Print why the server does not start, and return the exit status."""
    print(f"❌ Configuration validation failed: {problem}", file=sys.stderr)
    return os.EX_CONFIG


if __name__ == "__main__":
    sys.exit(main())
