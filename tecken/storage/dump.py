"""Text of a symbol file for a native file, and the file in a CAB file, written by a child process.

The engine is the program `tecken-dump` (`engine/dump`, `make engine`), or where it is not built the package
`tecken.dump`, which is the same program in Python. It parses what clients send, so it has a process of its
own with limits: a file that crashes it, or that needs too much, costs nothing but that process.
"""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from collections.abc import Generator, Iterable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType
from typing import BinaryIO, Final, NamedTuple

from tecken.errors import Malformed
from tecken.storage.child_process import ChildLimits, ChildProcess, file_path, run_child

RUST_PROGRAM: Final = "tecken-dump"
PYTHON_PACKAGE: Final = "tecken.dump"
# Library that the package needs. It is never imported here.
PYTHON_LIBRARY: Final = "symbolic"
CHUNK_BYTES: Final = 256 << 10
# From the engine whose symbols are less exact to the one whose symbols are better.
TITLES: Final = (PYTHON_LIBRARY, RUST_PROGRAM)
# Exit status of the program for a file that it refuses, with the reason as the last line on stderr.
REFUSED: Final = 2
# INFO record in the text of a PE file. The engine reads a file without a name, so the record ends with the
# number of a descriptor.
CODE_ID: Final = re.compile(rb"^(INFO CODE_ID [0-9A-Fa-f]+)(?: [0-9]+)?$", re.MULTILINE)
VERSION_SECONDS: Final = 60.0


class DumpEngine(NamedTuple):
    """Program that writes the text: its title in messages, the start of its command, and its environment."""

    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]

    @property
    def has_parts(self) -> bool:
        """Whether it can write a part of a text, for some module offsets."""
        return self.title == RUST_PROGRAM

    def version(self) -> str:
        """Return the name and version that its page files have as their generator, such as `symbolic 13.9.0`.

        Raises OSError or SubprocessError if the program does not work.
        """
        done = subprocess.run(  # noqa: S603 - our own program, without arguments from outside
            (*self.command, "--version"),
            env=dict(self.environment),
            capture_output=True,
            text=True,
            timeout=VERSION_SECONDS,
            check=True,
        )
        return done.stdout.strip()


def find_engine() -> DumpEngine | None:
    """Return the program beside this interpreter, or the package where it is not built; None without both."""
    return find_rust_engine() or find_python_engine()


def is_outdated(made_by: str, in_use: str) -> bool:
    """Return whether symbols that one engine made get better with another; both as in `DumpEngine.version`.

    Any other generator, such as that of an uploaded symbol file, is never outdated.
    """
    former, present = _rank(made_by), _rank(in_use)
    return former is not None and present is not None and former < present


def _rank(engine: str) -> tuple[int, list[int]] | None:
    title, _, version = engine.partition(" ")
    if title not in TITLES:
        return None
    return TITLES.index(title), [int(number) for number in re.findall(r"\d+", version)]


def find_rust_engine() -> DumpEngine | None:
    """Return the program beside this interpreter; None if it is not built."""
    path = Path(sys.executable).parent / RUST_PROGRAM
    return DumpEngine(RUST_PROGRAM, (str(path),), {}) if path.is_file() else None


def find_python_engine() -> DumpEngine | None:
    """Return the package; None if its library is not installed."""
    if find_spec(PYTHON_LIBRARY) is None:
        return None
    command = (sys.executable, "-P", "-m", PYTHON_PACKAGE)
    # The child process has no other environment, and another working directory.
    return DumpEngine(PYTHON_LIBRARY, command, {"PYTHONPATH": str(Path(__file__).parents[2])})


def dump(
    engine: DumpEngine,
    file: BinaryIO,
    name: str,
    arch: str,
    limits: ChildLimits,
    *,
    others: Mapping[str, BinaryIO] = MappingProxyType({}),
    offsets: Iterable[int] = (),
) -> Generator[bytes]:
    """Yield the text of a symbol file for the native file `file`, whose module is called `name`.

    Of a file for several processors, the part for `arch` is read; "" for all other files. `others` are the
    other files of the module by option of the program: `cfi`, `supplementary`, `package`. With `offsets`, the
    text has only the records that lookups of these module offsets need; the engine must have parts.

    Raises Malformed for a file that the engine refuses, or for which it exceeds a limit, and Unavailable if
    the engine cannot be started. The child process has ended when the iterator is exhausted or closed.
    """
    options = [f"--name={name}", *([f"--arch={arch}"] if arch else [])]
    options += [f"--{option}={file_path(other)}" for option, other in others.items()]
    if wanted := ",".join(f"{offset:x}" for offset in offsets):
        options.append(f"--offsets={wanted}")
    yield from _run(engine, [*options, file_path(file)], [file, *others.values()], limits)


def name_code_file(start: bytes, name: str) -> bytes:
    """Return the start of the text of a PE file with its name in the INFO record."""
    return CODE_ID.sub(lambda line: line[1] + b" " + name.encode(), start, count=1)


def unpack_cabinet(engine: DumpEngine, file: BinaryIO, limits: ChildLimits) -> Generator[bytes]:
    """Yield the only file of a CAB file.

    Raises Malformed and Unavailable, and ends the child process, as `dump` does.
    """
    yield from _run(engine, [f"--unpack={file_path(file)}"], [file], limits)


def _run(
    engine: DumpEngine, options: Sequence[str], files: Sequence[BinaryIO], limits: ChildLimits
) -> Generator[bytes]:
    """Yield what the program writes."""
    command = [*engine.command, *options]
    with run_child(command, limits, environment=engine.environment, files=files) as child:
        while chunk := child.output.read(CHUNK_BYTES):
            yield chunk
        _raise_for_status(engine, child)


def _raise_for_status(engine: DumpEngine, child: ChildProcess) -> None:
    status = child.wait()
    if status == 0:
        return
    if status == REFUSED:
        raise Malformed(child.last_message() or "the file has no symbols that can be read")
    # A program in Rust, or a library in Rust, has ended its process for want of memory.
    if status == -signal.SIGABRT and child.first_message().startswith(b"memory allocation of "):
        raise Malformed("the file needs more memory than it may have")
    ended = f"signal {-status}" if status < 0 else f"status {status}"
    raise Malformed(f"the file cannot be converted: {engine.title} ended with {ended}")
