"""Child process with limits, for programs that read what clients send.

A file that crashes such a program, or that needs too much, costs nothing but that process. It has no
environment but the one it is given, a session of its own, and the files that it is passed.
"""

from __future__ import annotations

import logging
import os
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from tempfile import TemporaryFile
from threading import Timer
from typing import BinaryIO, Final, NamedTuple

from tecken.errors import Unavailable

logger = logging.getLogger(__name__)
MAX_REASON_BYTES: Final = 500
# Blocks of 512 bytes that it may write to a file: its messages, and the bytecode of modules that it imports.
# Of bytecode above the limit Python would keep the beginning, with which no later import succeeds. The
# largest is that of iced-x86, with 400 KB.
MAX_FILE_BLOCKS: Final = 8192
# Exit statuses of the shell: a limit that it may not set, a program that may not run, and none.
LIMIT_REFUSED: Final = 126
NOT_STARTED: Final = (LIMIT_REFUSED, 127)
# Time for a program that has closed its output to end.
END_SECONDS: Final = 10.0


class ChildLimits(NamedTuple):
    """Limits of one child process. `seconds` includes the time in which it waits for its parent."""

    memory_bytes: int = 4 << 30
    cpu_seconds: int = 300
    seconds: float = 900.0


class ChildProcess:
    """Child process that runs. `input` is None for one that has none."""

    def __init__(self, process: subprocess.Popen[bytes], messages: BinaryIO) -> None:
        assert process.stdout
        self._process = process
        self._messages = messages
        self.input = process.stdin
        self.output = process.stdout

    def wait(self) -> int:
        """Return the exit status of a program that has closed its output, -N for the signal N.

        Raises Unavailable if the program could not be started, which is no fault of the file.
        """
        try:
            status = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.kill()
            status = self._process.wait()
        if status in NOT_STARTED:
            logger.error("A process that reads files cannot be started: %s", self.last_message())
            raise Unavailable("the program that reads files cannot be started on this host")
        return status

    def kill(self) -> None:
        """End the process and its children."""
        if self._process.poll() is None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def close(self) -> None:
        """End the process, and close its pipes."""
        self.kill()
        self._process.wait()
        self.output.close()
        if self.input:
            # What the process has not read is of no use.
            with suppress(BrokenPipeError):
                self.input.close()

    def first_message(self) -> bytes:
        """Return the first line that it has written on stderr."""
        self._messages.seek(0)
        return self._messages.readline(MAX_REASON_BYTES)

    def last_message(self) -> str:
        """Return the last line that it has written on stderr."""
        self._messages.seek(max(0, self._messages.seek(0, os.SEEK_END) - MAX_REASON_BYTES))
        lines = self._messages.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""


@contextmanager
def run_child(
    command: Sequence[str],
    limits: ChildLimits,
    *,
    environment: Mapping[str, str],
    files: Iterable[BinaryIO] = (),
    has_input: bool = False,
) -> Iterator[ChildProcess]:
    """Run a program until the end of the block. The files are open in it under their numbers."""
    with TemporaryFile() as messages:
        # Arguments may come from clients; the shell receives them as arguments of their own.
        process = subprocess.Popen(  # noqa: S603
            _limited(command, limits),
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=messages,
            pass_fds=[file.fileno() for file in files],
            cwd="/",
            env=dict(environment),
            start_new_session=True,
        )
        child = ChildProcess(process, messages)
        # The parent may wait in `read` for as long as the program writes nothing, so another thread ends it.
        timer = Timer(limits.seconds, child.kill)
        timer.start()
        try:
            yield child
        finally:
            timer.cancel()
            child.close()


def file_path(file: BinaryIO) -> str:
    """Return the path under which the program opens a file that has no name."""
    return f"/dev/fd/{file.fileno()}"


def _limited(command: Sequence[str], limits: ChildLimits) -> list[str]:
    """Return the command with limits that hold before its first instruction.

    A shell sets them: Python code between fork and exec could wait for a lock that another thread holds.
    """
    set_limits = (
        "ulimit -c 0",
        f"ulimit -t {limits.cpu_seconds}",
        f"ulimit -v {limits.memory_bytes >> 10}",
        f"ulimit -f {MAX_FILE_BLOCKS}",
    )
    script = f'{{ {" && ".join(set_limits)}; }} || exit {LIMIT_REFUSED}; exec "$@"'
    return ["/bin/sh", "-c", script, "sh", *command]
