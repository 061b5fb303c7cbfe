"""Demangler in a process of its own, which a name may end: `python -m tecken.dump.demangling`.

The process receives names and returns them in the same order, one a line, each batch after an empty line.
Without this process, one name of 270 bytes would cost the symbols of its whole file.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

from tecken.dump import names

# Names that the process receives at a time.
BATCH: Final = 4096
# Bounds of the process. LLVM's demangler takes a few kilobytes for a usual name.
MEMORY_BYTES: Final = 512 << 20
BATCH_SECONDS: Final = 20
# Processes that names may end before all other names stay as they are. To find one name of a batch takes 12.
MAX_ENDS: Final = 100


def demangle_all(mangled: Iterable[bytes]) -> dict[bytes, bytes]:
    """Return the readable form of each mangled name."""
    found: dict[bytes, bytes] = {}
    waiting = iter({name for name in mangled if names.is_mangled(name) and b"\n" not in name})
    with Demangler() as demangler:
        while batch := list(islice(waiting, BATCH)):
            found.update(demangler.demangle(batch))
    return found


class Demangler:
    """Process that demangles, and starts again when a name has ended it."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._ends = 0

    def __enter__(self) -> Demangler:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def demangle(self, mangled: Sequence[bytes]) -> dict[bytes, bytes]:
        """Return the readable forms. A name that ends the process stays as it is."""
        if self._ends >= MAX_ENDS:
            return {}
        readable = self._run(mangled)
        if readable is not None:
            return dict(zip(mangled, readable, strict=True))
        self._ends += 1
        self._end()
        if len(mangled) == 1:
            return {}
        half = len(mangled) // 2
        return self.demangle(mangled[:half]) | self.demangle(mangled[half:])

    def _run(self, mangled: Sequence[bytes]) -> list[bytes] | None:
        """Return the lines for a batch; None if the process has ended before."""
        process = self._process = self._process or _start()
        assert process.stdin
        assert process.stdout
        try:
            process.stdin.write(b"\n".join([*mangled, b"", b""]))
            process.stdin.flush()
        except BrokenPipeError:
            return None
        lines = [line.removesuffix(b"\n") for line in islice(process.stdout, len(mangled))]
        return lines if len(lines) == len(mangled) else None

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            assert pipe
            try:
                pipe.close()
            except BrokenPipeError:
                continue


def _start() -> subprocess.Popen[bytes]:
    # Its messages about a name that ends it are of no use.
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "tecken.dump.demangling"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={"PYTHONPATH": str(Path(__file__).parents[2])},
    )


def main() -> None:
    """Demangle batches until the end of the input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    batch: list[bytes] = []
    for line in sys.stdin.buffer:
        if line != b"\n":
            batch.append(line.removesuffix(b"\n"))
            continue
        signal.alarm(BATCH_SECONDS)
        sys.stdout.buffer.write(b"".join(map(_readable, batch)))
        sys.stdout.buffer.flush()
        signal.alarm(0)
        batch.clear()


def _readable(mangled: bytes) -> bytes:
    # A name that is not UTF-8 is refused by the demangler, and stays as it is.
    name = mangled.decode(errors="surrogateescape")
    readable = names.demangle(name).encode(errors="surrogateescape")
    return (readable if len(readable) <= names.MAX_READABLE_BYTES else mangled) + b"\n"


if __name__ == "__main__":
    main()
