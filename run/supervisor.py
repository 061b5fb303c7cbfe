"""Processes of `make run`: started in order, restarted when they end, stopped in reverse order.

A process that ends by itself is started again after a short pause, so that one crash does not end the whole
site. Restarts are limited, because a process that keeps ending needs a person and not another start.

Every line of their output is in a log file; the screen shows those that a person has to read.
"""

from __future__ import annotations

import logging
import os
import re
import select
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import cycle
from logging.handlers import RotatingFileHandler
from pathlib import Path
from threading import Event, Lock, Thread
from time import monotonic
from typing import IO, NamedTuple

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


# Long enough that a port is free again, short enough that a person does not intervene.
PAUSE_SECONDS = 1.0
# A process that ends more often does not recover by itself.
MAX_RESTARTS = 5
RESTARTS_COUNT_SECONDS = 60.0
# Time for the worker and the web server to finish. The next worker repeats a job that takes longer.
STOPS_WITHIN_SECONDS = 10.0
# Interval of the check whether the reader (`make run | head`) has ended, for times without output.
POLL_SECONDS = 1.0
# Lines of output of a quiet process that are printed when it fails.
LAST_LINES = 20


class Command(NamedTuple):
    """Command of one process. The output of a `quiet` one is printed only when it ends unexpectedly."""

    name: str
    arguments: Sequence[str]
    environment: Mapping[str, str]
    quiet: bool = False


class Service:
    """Process that is restarted when it ends."""

    def __init__(self, command: Command, screen: Screen, stop: Event) -> None:
        self.name = command.name
        self.status = 0
        self._command, self._screen, self._stop = command, screen, stop
        self._ends = Event()
        self._restarts = deque[float]()
        self._process = self._start()
        self._watcher = Thread(target=self._watch, name=f"watch {self.name}")
        self._watcher.start()

    def terminate(self) -> None:
        """Ask the process to end, and do not restart it."""
        self._ends.set()
        with suppress(ProcessLookupError):
            self._process.terminate()

    def wait(self, deadline: float) -> None:
        """Wait until the process has ended. Kill it at `deadline` of the monotonic clock."""
        self._watcher.join(max(0.0, deadline - monotonic()))
        if self._watcher.is_alive():
            self._screen.write(self.name, f"has not ended in {STOPS_WITHIN_SECONDS:g} s: killed")
            kill_group(self._process.pid)
            self._watcher.join()

    def _start(self) -> subprocess.Popen[str]:
        # A session of its own, so that Ctrl-C in the terminal reaches the supervisor only.
        return subprocess.Popen(
            self._command.arguments,
            env=dict(self._command.environment),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def _watch(self) -> None:
        while True:
            lines = self._run_to_end()
            if self._ends.is_set():
                return
            self._print_end(lines)
            if not self._may_restart():
                self.status = exit_status(self._process.returncode)
                self._stop.set()
                return
            if self._ends.wait(PAUSE_SECONDS):
                return
            self._process = self._start()
            # A stop between the check above and the start has sent its signal to the process before.
            if self._ends.is_set():
                self._process.terminate()

    def _run_to_end(self) -> list[str]:
        """Copy the output to the screen until the process has ended. Return the last lines of a quiet one."""
        process, last = self._process, deque[str](maxlen=LAST_LINES)
        reader = Thread(target=self._copy, args=[process, last])
        reader.start()
        process.wait()
        # Children of a killed process would otherwise keep its port, its jobs and the pipe of its output.
        kill_group(process.pid)
        reader.join()
        return list(last)

    def _copy(self, process: subprocess.Popen[str], last: deque[str]) -> None:
        assert process.stdout
        with process.stdout as lines:
            for line in lines:
                if self._command.quiet:
                    last.append(line.rstrip("\n"))
                    self._screen.log(self.name, last[-1])
                else:
                    self._screen.write(self.name, line.rstrip("\n"))

    def _print_end(self, lines: Sequence[str]) -> None:
        for line in lines:
            self._screen.write(self.name, line)

    def _may_restart(self) -> bool:
        """Decide about a restart, and print the reason."""
        how = describe_status(self._process.returncode)
        if self._process.returncode == os.EX_CONFIG:
            self._screen.write(
                self.name, f"ended with {how}: not restarted, the configuration must be fixed first"
            )
            return False
        now = monotonic()
        while self._restarts and self._restarts[0] <= now - RESTARTS_COUNT_SECONDS:
            self._restarts.popleft()
        if len(self._restarts) >= MAX_RESTARTS:
            self._screen.write(
                self.name, f"ended with {how}: not restarted again after {MAX_RESTARTS} restarts in a minute"
            )
            return False
        self._restarts.append(now)
        number = len(self._restarts)
        self._screen.write(
            self.name,
            f"ended with {how}: restarted, {number} restart{'s' * (number != 1)} in the last minute",
        )
        return True


def supervise(
    first: Sequence[Command], then: Sequence[Command], output: IO[str] = sys.stdout, log: Path | None = None
) -> int:
    """Run all commands until SIGINT, SIGTERM or SIGHUP, or until one of them cannot be restarted.

    Those of `first` are started first and stopped after all others have ended, so that no process loses a
    server that it still needs.

    Args:
        first: Commands of the servers.
        then: Commands that need the servers.
        output: The screen.
        log: File that receives every line. With it, the output on the screen is short.

    Returns:
        0 after a signal, otherwise the status of the process that failed.
    """
    stop = Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: stop.set())
    screen = Screen(output, max(len(command.name) for command in (*first, *then)), stop, log)
    groups: list[list[Service]] = []
    try:
        for commands in (first, then):
            groups.append([])
            for command in commands:
                groups[-1].append(Service(command, screen, stop))
        while not stop.wait(POLL_SECONDS):
            if has_no_reader(output):
                stop.set()
        screen.write("all", "stopping")
    finally:
        for group in reversed(groups):
            stop_all(group)
    return next((service.status for group in groups for service in group if service.status), 0)


def has_no_reader(output: IO[str]) -> bool:
    """Return whether the output is a pipe whose other end is closed."""
    poll = select.poll()
    poll.register(output, 0)
    return bool(poll.poll(0))


def stop_all(services: Sequence[Service]) -> None:
    """Stop the services at the same time, and wait for all."""
    for service in services:
        service.terminate()
    deadline = monotonic() + STOPS_WITHIN_SECONDS
    for service in services:
        service.wait(deadline)


def kill_group(leader: int) -> None:
    """Kill every process of a group that still runs."""
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(leader, signal.SIGKILL)


def exit_status(returncode: int) -> int:
    """Return the status of a process that must not have ended, which is never 0."""
    return returncode if returncode > 0 else 128 - returncode if returncode else 1


def describe_status(returncode: int) -> str:
    """Return the name of the signal that ended a process, or its exit status."""
    return signal.Signals(-returncode).name if returncode < 0 else str(returncode)
