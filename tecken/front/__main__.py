"""The web server: `python -m tecken.front [APP]`, which `run.web` starts after the preflight.

APP is the `module:name` of a WSGI application or of a `Front`, by default the site. WEB_HOST and WEB_PORT are
the address, WEB_PROCESSES is the number of processes.
"""

from __future__ import annotations

import logging
import logging.config
import os
import resource
import socket
import sys
from typing import Any, Final

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from tecken.front.config import server_config

# Number of the first socket that systemd passes.
FIRST_FD: Final = 3
LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"ours": {"()": "tecken.monitoring.logs.formatter"}},
    "filters": {"restarts": {"()": "tecken.front.__main__.Restarts"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours", "filters": ["restarts"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


class Restarts(logging.Filter):
    """Filter that keeps warnings and the line about a web process that died; other lines are routine."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written."""
        return record.levelno >= logging.WARNING or record.getMessage().endswith(" died")


def main() -> int:
    """Run the web processes until SIGTERM or SIGINT. Return 1 if one of them could not start."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    logging.config.dictConfig(LOGGING)
    raise_file_limit()
    config = server_config(
        sys.argv[1] if len(sys.argv) > 1 else "tecken.application:application",
        host=os.environ.get("WEB_HOST", "127.0.0.1"),
        port=int(os.environ.get("WEB_PORT", "8000")),
        workers=int(os.environ.get("WEB_PROCESSES", "1")),
    )
    supervisor = Multiprocess(config, [inherit_socket() or config.bind_socket()])
    supervisor.run()
    return max(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)


def inherit_socket() -> socket.socket | None:
    """Return the socket that systemd listens on for this process (sd_listen_fds(3)); None without one.

    It stays open while the server is restarted, so that clients wait for it and are not refused.
    """
    if os.environ.get("LISTEN_PID") != str(os.getpid()):
        return None
    inherited = socket.socket(fileno=FIRST_FD)
    inherited.set_inheritable(True)
    return inherited


def raise_file_limit() -> None:
    """Raise the limit of open files to the most that the system allows: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
