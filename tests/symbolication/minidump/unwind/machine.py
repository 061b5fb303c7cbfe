"""Threads and symbols in memory, for tests of the walk."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from tecken.symbolication.minidump.dump import (
    DumpModule,
    DumpThread,
    MemoryRegion,
    Minidump,
    Modules,
    Registers,
    SystemInfo,
)
from tecken.symbolication.minidump.port import ModulePlace, ModuleState, UnwindInfo
from tecken.symbolication.minidump.stack import Stack
from tecken.symbolication.minidump.unwind import walk
from tecken.symbols.lookup import Frame

STACK: Final = 0x8000_0000
# Two modules with symbols, and one without.
APP, LIB, BARE = 0x40_0000, 0x50_0000, 0x60_0000
MODULE_BYTES: Final = 0x1_0000
FUNCTIONS: Final = range(0x1000, 0x8000)


class MemorySymbols:
    """Symbols by module: unwind information by offset, and the range of the functions."""

    def __init__(self, infos: Mapping[int, UnwindInfo] = {}) -> None:
        self._infos = infos
        self.prepared: list[int] = []
        self.calls: list[tuple[str, list[ModulePlace]]] = []

    def prepare(self, modules: Sequence[int]) -> None:
        self.prepared = list(modules)

    def unwind_info(self, places: Sequence[ModulePlace]) -> Sequence[UnwindInfo | None]:
        self.calls.append(("unwind_info", list(places)))
        return [self._info(place) if has_symbols(place) else None for place in places]

    def _info(self, place: ModulePlace) -> UnwindInfo:
        address = (APP, LIB)[place.module] + place.offset
        before = [start for start in self._infos if start <= address < start + 0x100]
        return self._infos[max(before)] if before else UnwindInfo("", (), 0)

    def are_functions(self, places: Sequence[ModulePlace]) -> Sequence[bool | None]:
        self.calls.append(("are_functions", list(places)))
        return [place.offset in FUNCTIONS if has_symbols(place) else None for place in places]

    def frames(self, places: Sequence[ModulePlace]) -> Sequence[Frame | None]:
        return [None for _ in places]

    def states(self) -> Sequence[ModuleState]:
        return []


def has_symbols(place: ModulePlace) -> bool:
    return place.module < 2


def rules(start: int, init: str, *changes: str) -> dict[int, UnwindInfo]:
    """Return the CFI of the 256 bytes from an address in a module on; changes are from the start on, too."""
    offset = start % MODULE_BYTES
    lines = [
        f"STACK CFI INIT {offset:x} 100 {init}",
        *(f"STACK CFI {offset:x} {change}" for change in changes),
    ]
    return {start: UnwindInfo("", tuple(lines), 0)}


def pointers(width: int, words: Iterable[int]) -> bytes:
    return b"".join(word.to_bytes(width, "little") for word in words)


def make_thread(
    width: int, registers: Registers | None, words: Sequence[int] | None, number: int = 1
) -> DumpThread:
    stack = None if words is None else MemoryRegion(STACK, memoryview(pointers(width, words)))
    return DumpThread(number, registers, stack)


def make_dump(cpu: str, *threads: DumpThread, os: str = "Linux") -> Minidump:
    modules = Modules([DumpModule(base, MODULE_BYTES, "m") for base in (APP, LIB, BARE)])
    return Minidump(SystemInfo(os, "1", cpu, None, 1), modules, (), threads, None, 0, 1, None, {}, ())


def unwind(
    cpu: str,
    registers: Registers,
    words: Sequence[int],
    infos: Mapping[int, UnwindInfo] = {},
    os: str = "Linux",
    **limits: int,
) -> Stack:
    """Return the stack of one thread whose stack has these words."""
    width = 4 if cpu in {"x86", "arm"} else 8
    dump = make_dump(cpu, make_thread(width, registers, words), os=os)
    return walk(dump, MemorySymbols(infos), **limits)[0]


def trusts(stack: Stack) -> list[tuple[int, str]]:
    """Return instruction and trust of each frame."""
    return [(frame.instruction, frame.trust) for frame in stack.frames]


def place(word: int) -> int:
    """Return the address of a word of the stack of a 64-bit process."""
    return STACK + 8 * word
