"""Text of a symbol file for a native file, written by `tecken-dump` in a child process.

`tecken-dump` (`engine/dump`, `make engine`) parses what clients send, so it has a process of its own with
limits: a file that crashes it, or that needs too much, costs nothing but that process.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Timer
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

from tecken.errors import Malformed

PROGRAM: Final = "tecken-dump"
CHUNK_BYTES: Final = 256 << 10
MAX_REASON_BYTES: Final = 500
# Exit status of the program for a file that it refuses, with the reason as the last line on stderr.
REFUSED: Final = 2
# Blocks of 512 bytes that it may write to a file, which are its messages.
MAX_FILE_BLOCKS: Final = 128
# Time for a program that has closed its output to end.
END_SECONDS: Final = 10.0


class DumpLimits(NamedTuple):
    """Limits of one child process. `seconds` counts also while it waits for its reader."""

    memory_bytes: int = 4 << 30
    cpu_seconds: int = 300
    seconds: float = 900.0


def find_program() -> Path | None:
    """Return the program beside this interpreter; None if it is not built."""
    path = Path(sys.executable).parent / PROGRAM
    return path if path.is_file() else None


def dump(
    program: Path,
    file: BinaryIO,
    name: str,
    arch: str,
    limits: DumpLimits,
    *,
    others: Mapping[str, BinaryIO] = MappingProxyType({}),
) -> Generator[bytes]:
    """Yield the text of a symbol file for the native file `file`, whose module is called `name`.

    Of a file for several processors, the part for `arch` is read; "" for all other files. `others` are the
    other files of the module by option of the program: `cfi`, `supplementary`, `package`.

    Raises Malformed for a file that the program refuses, or for which it exceeds a limit. The child process
    has ended when the iterator is exhausted or closed.
    """
    options = [f"--name={name}", *([f"--arch={arch}"] if arch else [])]
    options += [f"--{option}={_path(other)}" for option, other in others.items()]
    command = _limited([str(program), *options, _path(file)], limits)
    with TemporaryFile() as reasons:
        # The name comes from clients; the shell receives it as an argument of its own.
        process = subprocess.Popen(  # noqa: S603
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=reasons,
            pass_fds=[file.fileno(), *(other.fileno() for other in others.values())],
            cwd="/",
            env={},
            start_new_session=True,
        )
        # The reader may wait in `read` for as long as the program writes nothing, so another thread ends it.
        timer = Timer(limits.seconds, _kill, [process])
        timer.start()
        try:
            assert process.stdout
            while chunk := process.stdout.read(CHUNK_BYTES):
                yield chunk
            _raise_for_status(_wait(process), reasons)
        finally:
            timer.cancel()
            _kill(process)
            process.wait()
            assert process.stdout
            process.stdout.close()


def _path(file: BinaryIO) -> str:
    """Return the path under which the program opens a file that has no name."""
    return f"/dev/fd/{file.fileno()}"


def _limited(command: Sequence[str], limits: DumpLimits) -> list[str]:
    """Return the command with limits that hold before its first instruction.

    A shell sets them: Python code between fork and exec could wait for a lock that another thread holds.
    """
    set_limits = (
        "ulimit -c 0",
        f"ulimit -t {limits.cpu_seconds}",
        f"ulimit -v {limits.memory_bytes >> 10}",
        f"ulimit -f {MAX_FILE_BLOCKS}",
    )
    return ["/bin/sh", "-c", " && ".join((*set_limits, 'exec "$@"')), "sh", *command]


def _wait(process: subprocess.Popen[bytes]) -> int:
    with suppress(subprocess.TimeoutExpired):
        return process.wait(END_SECONDS)
    _kill(process)
    return process.wait()


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def _raise_for_status(status: int, reasons: BinaryIO) -> None:
    if status == 0:
        return
    if status == REFUSED:
        raise Malformed(_last_line(reasons) or "the file has no symbols that can be read")
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    raise Malformed(f"the file cannot be converted: {PROGRAM} ended with {ended}")


def _last_line(reasons: BinaryIO) -> str:
    reasons.seek(max(0, reasons.seek(0, os.SEEK_END) - MAX_REASON_BYTES))
    lines = reasons.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
