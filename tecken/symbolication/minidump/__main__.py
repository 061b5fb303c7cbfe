"""Program that walks a dump: `python -m tecken.symbolication.minidump DESCRIPTOR`.

The dump is an open file. Questions about symbols are written to stdout, and answers come from stdin
(`messages`). It exits with 2 for a dump that it refuses, with the reason on stderr, and with 1 after an error
of its own. Neither text has contents of the dump's memory.
"""

from __future__ import annotations

import codecs
import gc
import mmap
import os
import resource
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

from tecken.errors import Malformed, TeckenError
from tecken.symbolication.minidump.crash_analysis import load_disassembler
from tecken.symbolication.minidump.crash_reason.windows import load_codes
from tecken.symbolication.minidump.dump import Modules
from tecken.symbolication.minidump.messages import ParentSymbols
from tecken.symbolication.minidump.port import ModulePlace, SymbolAccess
from tecken.symbolication.minidump.read import needs_disassembler, read_dump
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.stack import Stack
from tecken.symbolication.minidump.unwind import walk
from tecken.symbols.frame import Frame

REFUSED: Final = 2
NO_MEMORY: Final = "the dump needs more memory than it may have"
EMPTY: Final = "the file is empty"
# Module that `Counter.most_common` imports.
LATE_MODULES: Final = ("heapq",)
# Those of the texts in a dump.
ENCODINGS: Final = ("ascii", "latin-1", "utf-8", "utf-16", "utf-16-le", "utf-16-be")


def process(descriptor: int) -> None:
    """Walk the dump in an open file, and send its report. Raises Malformed."""
    if not os.fstat(descriptor).st_size:
        raise Malformed(EMPTY)
    content = memoryview(mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ))
    if needs_disassembler(content):
        load_disassembler()
    renounce_files()
    dump = read_dump(content)
    symbols = ParentSymbols(sys.stdout.buffer, sys.stdin.buffer, dump.modules.all)
    stacks = walk(dump, symbols)
    frames = look_up_frames(dump.modules, stacks, symbols)
    symbols.send_report(write_report(dump, stacks, frames, symbols.states()), stacks)


def renounce_files() -> None:
    """Open no file and no connection, and start no process, from now on; those that are open stay."""
    # These are read when they are first used. The names of codes take 1 ms.
    for encoding in ENCODINGS:
        codecs.lookup(encoding)
    for module in LATE_MODULES:
        import_module(module)
    load_codes()
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NPROC, (0, 0))


def look_up_frames(
    modules: Modules, stacks: Sequence[Stack], symbols: SymbolAccess
) -> list[list[Frame | None]]:
    """Return the function of each frame of each stack. Each place is looked up once."""
    places = [
        [
            None if frame.module is None else _place(modules, frame.module, frame.instruction)
            for frame in stack.frames
        ]
        for stack in stacks
    ]
    distinct = list(dict.fromkeys(place for stack in places for place in stack if place))
    found: dict[ModulePlace | None, Frame | None] = dict(zip(distinct, symbols.frames(distinct), strict=True))
    return [[found.get(place) for place in stack] for stack in places]


def _place(modules: Modules, module: int, address: int) -> ModulePlace:
    return ModulePlace(module, address - modules.all[module].base)


def main(arguments: Sequence[str]) -> int:
    """Return the exit status."""
    # The process ends soon, and nearly everything that it reads is needed until then.
    gc.disable()
    try:
        process(int(arguments[0]))
    except TeckenError as error:
        print(error, file=sys.stderr)
        return REFUSED
    except MemoryError:
        print(NO_MEMORY, file=sys.stderr)
        return REFUSED
    except Exception as error:  # noqa: BLE001 - the parent reports it
        print(_describe(error), file=sys.stderr)
        return 1
    return 0


def _describe(error: Exception) -> str:
    """Return the class of an error, and where it was raised. Its text may have contents of the dump."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f"{trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}" if trace else "an unknown place"
    return f"{type(error).__name__} at {place}"


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # Without the end of an interpreter, which frees each object of the dump.
    os._exit(status)
