"""Output of `make run`: every line in a log file, and on the screen those that a person has to read."""

from __future__ import annotations

import logging
import os
import re
from datetime import datetime
from itertools import cycle
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Event, Lock
from typing import IO

# Two files of this size: days of a site that one developer uses, and no full disk.
LOG_BYTES = 8 * 1024 * 1024
COLOURS = ("36", "33", "32", "35", "34")
# The form of tecken/monitoring/logs.py. The screen shows its own time.
LOGGED = re.compile(r"\d{4}-\S+Z (?P<level>[A-Z]+) \S+ \[v\d+\]: (?P<text>.*)")
SHOWN_LEVELS = ("WARNING", "ERROR", "CRITICAL")
# Lines that the preflight and Celery print when all is well.
ROUTINE = re.compile(r"✓|→ Application starts|worker: Warm shutdown|celery beat v\S+ is starting|\s*$")


class Screen:
    """Screen for the lines of all processes, each with its time and the name of its process."""

    def __init__(self, output: IO[str], width: int, stop: Event, log: Path | None = None) -> None:
        self._output, self._width, self._stop = output, width, stop
        self._log = open_log(log) if log else None
        self._lock = Lock()
        self._colours = dict[str, str]()
        self._unused = cycle(COLOURS)

    def write(self, name: str, line: str) -> None:
        """Log a line, and show it when it is more than routine."""
        self.log(name, line)
        text = line if self._log is None else summarize(line)
        if text is not None:
            self._show(name, text)

    def log(self, name: str, line: str) -> None:
        """Write a line to the log file only."""
        if self._log:
            self._log.info("%s | %s", name.ljust(self._width), line)

    def _show(self, name: str, line: str) -> None:
        with self._lock:
            try:
                self._output.write(f"{self._prefix(name)} {line}\n")
                self._output.flush()
            except OSError:
                # The terminal is closed, or `| head` has ended; both mean the same as Ctrl-C. Without the
                # replaced descriptor, the rest of Python's buffer would fail again at the end of the process.
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._output.fileno())
                self._stop.set()

    def _prefix(self, name: str) -> str:
        text = f"{datetime.now():%H:%M:%S} {name:<{self._width}} |"
        if not self._output.isatty():
            return text
        colour = self._colours.setdefault(name, next(self._unused) if name not in self._colours else "")
        return f"\x1b[{colour}m{text}\x1b[0m"


def summarize(line: str) -> str | None:
    """Return the part of a line that the screen shows, or None for a routine line."""
    if match := LOGGED.match(line):
        return f"{match['level']} {match['text']}" if match["level"] in SHOWN_LEVELS else None
    return None if ROUTINE.match(line) else line


def open_log(path: Path) -> logging.Logger:
    """Return a logger that writes to the file only, and is not part of the tree of loggers."""
    # A full disk must not fill the screen with tracebacks of the log.
    logging.raiseExceptions = False
    logger = logging.Logger(path.name)
    logger.addHandler(RotatingFileHandler(path, maxBytes=LOG_BYTES, backupCount=1, encoding="utf-8"))
    return logger
