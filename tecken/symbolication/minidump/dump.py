"""Parts of a minidump that the walk and the report need."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple

from tecken.symbolication.minidump.findings import CrashAnalysis

Registers = dict[str, int]
"""Values of a thread's registers by name; a register without a known value is not in it.

Names are those of rust-minidump's JSON: `rip`, `esp`, `pc`, `x19`, `fp`, `lr`.
"""


class SystemInfo(NamedTuple):
    """System and processor; None means unknown. Names are those of rust-minidump's JSON.

    `os` is "Windows NT", "Mac OS X", "iOS", "Linux", "Android" and so on; `cpu` is "x86", "amd64", "arm",
    "arm64" and so on.
    """

    os: str
    os_version: str | None
    cpu: str
    cpu_info: str | None
    cpu_count: int
    cpu_microcode: int | None = None


class DumpModule(NamedTuple):
    """Loaded or unloaded module: addresses [base, base + size), and the ids under which symbols are stored.

    `debug_id` is an identifier and an age in upper case, of 33 digits or more, or fewer for a PDB 2.0 file.
    `code_id` is in lower case. `debug_file` has no directory. Ids and names are "" where the dump does not
    have them.
    """

    base: int
    size: int
    code_file: str
    code_id: str = ""
    debug_file: str = ""
    debug_id: str = ""
    version: str | None = None


def disjoint(ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Return the indexes of ranges (base, size) that do not overlap, by base.

    Of ranges that overlap, the first by base and size is kept, and an empty range or one past the end of the
    address space is left out, as in rust-minidump.
    """
    kept: list[int] = []
    end = 0
    for index in sorted(range(len(ranges)), key=ranges.__getitem__):
        base, size = ranges[index]
        if size and base >= end and base + size < 1 << 64:
            kept.append(index)
            end = base + size
    return kept


class Modules:
    """Loaded modules in the order of the dump, searched by address.

    Of modules that overlap, `find` returns the first one.
    """

    def __init__(self, modules: Sequence[DumpModule]) -> None:
        self.all = tuple(modules)
        self._order = disjoint([(module.base, module.size) for module in self.all])
        self._bases = [self.all[i].base for i in self._order]

    def find(self, address: int) -> int | None:
        """Return the index of the module that covers an address."""
        place = bisect_right(self._bases, address) - 1
        if place < 0:
            return None
        module = self.all[self._order[place]]
        return self._order[place] if address < module.base + module.size else None


class MemoryRegion(NamedTuple):
    """Bytes of the process's memory from the address `base` on."""

    base: int
    content: memoryview

    def read(self, address: int, size: int) -> int | None:
        """Return the unsigned integer of `size` bytes at an address; None if it is not all in the region."""
        start = address - self.base
        if start < 0 or start + size > len(self.content):
            return None
        return int.from_bytes(self.content[start : start + size], "little")


class DumpThread(NamedTuple):
    """Thread. `registers` are those of the exception's context for the thread that crashed.

    `stack` is the memory that the walk reads, None if the dump does not have it.
    """

    id: int
    registers: Registers | None
    stack: MemoryRegion | None
    name: str | None = None
    last_error: int | None = None


class CrashInfo(NamedTuple):
    """Cause of the crash in words, such as "SIGSEGV / SEGV_MAPERR", and the address in question."""

    reason: str
    address: int


class Minidump(NamedTuple):
    """Parsed minidump.

    `requesting_thread` is the index of the thread that crashed or that requested the dump. `crash` is None
    for a dump that was written without a crash, and `analysis` is what is found about it. `facts` are the
    parts of the JSON that are only passed on, such as `lsb_release` or `mac_crash_info`, by their names
    there. `warnings` say which streams could not be read.
    """

    system: SystemInfo
    modules: Modules
    unloaded: tuple[DumpModule, ...]
    threads: tuple[DumpThread, ...]
    crash: CrashInfo | None
    requesting_thread: int | None
    process_id: int | None
    uptime_seconds: int | None
    facts: dict[str, object]
    warnings: tuple[str, ...]
    analysis: CrashAnalysis = CrashAnalysis()
