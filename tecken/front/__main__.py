"""`python -m tecken.front [APP]`: the web server's processes. `run.web` starts it after its checks.

APP is `module:front`, by default the site. WEB_HOST, WEB_PORT and WEB_PROCESSES say where and how many.
"""

from __future__ import annotations

import logging
import logging.config
import os
import resource
import sys
from typing import Any, Final

from uvicorn.config import STARTUP_FAILURE
from uvicorn.supervisors import Multiprocess

from tecken.front.config import server_config

LOGGING: Final[dict[str, Any]] = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"ours": {"()": "tecken.monitoring.logs.formats.formatter"}},
    "filters": {"restarts": {"()": "tecken.front.__main__.Restarts"}},
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours", "filters": ["restarts"]}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
}


class Restarts(logging.Filter):
    """Passes warnings and the line that reports the end of a web process; uvicorn's others are routine."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.WARNING or record.getMessage().endswith(" died")


def main() -> int:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
    logging.config.dictConfig(LOGGING)
    raise_file_limit()
    config = server_config(
        sys.argv[1] if len(sys.argv) > 1 else "tecken.front.site:front",
        host=os.environ.get("WEB_HOST", "127.0.0.1"),
        port=int(os.environ.get("WEB_PORT", "8000")),
        workers=int(os.environ.get("WEB_PROCESSES", "1")),
    )
    supervisor = Multiprocess(config, [config.bind_socket()])
    supervisor.run()
    return max(process.exitcode == STARTUP_FAILURE for process in supervisor.processes)


def raise_file_limit() -> None:
    """Allow as many open files as the system lets us have: each connection is one."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


if __name__ == "__main__":
    sys.exit(main())
