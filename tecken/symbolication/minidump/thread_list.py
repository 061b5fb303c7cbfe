"""Threads of a dump: registers, stack memory, names, and the thread that crashed."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.contexts import read_context
from tecken.symbolication.minidump.dump import DumpThread, MemoryRegion, Registers
from tecken.symbolication.minidump.dump_bytes import DumpBytes, Record
from tecken.symbolication.minidump.exception import ExceptionRecord, SpecialThreads
from tecken.symbolication.minidump.memory import MemoryMap, read_region
from tecken.symbolication.minidump.system_info import POINTER_BYTES, SystemRecord
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES

MAX_THREADS: Final = 1024
# More threads than these are not searched for the one that crashed.
MAX_THREAD_RECORDS: Final = 1 << 16

_THREAD_LIST: Final = 3
_THREAD_NAMES: Final = 24
# Id, three numbers of scheduling, TEB, base of the stack, size and offset of the stack and of the context.
_THREAD: Final = Struct("<I12xQQIIII")
_NAME: Final = Struct("<IQ")
# GetLastError() is in the TEB, behind 13 pointers.
_LAST_ERROR_POINTERS: Final = 13


class ThreadList(NamedTuple):
    """Threads, and the index of the one that crashed or asked for the dump."""

    threads: tuple[DumpThread, ...]
    requesting: int | None


def read_threads(
    dump: DumpBytes,
    system: SystemRecord,
    memory: MemoryMap,
    exception: ExceptionRecord | None,
    special: SpecialThreads,
) -> ThreadList:
    """Return the threads. Raises Malformed if the dump has no list of them."""
    requesting_id = exception.thread if exception else special.requesting
    names: dict[int, int] = dict(dump.read_list(_THREAD_NAMES, "names of threads", _NAME, MAX_THREAD_RECORDS))
    threads = []
    requesting = None
    for record in _records(dump, requesting_id):
        thread_id, teb = record[:2]
        if thread_id == special.writer:
            threads.append(DumpThread(thread_id, None, None))
            continue
        if thread_id == requesting_id:
            requesting = len(threads)
        registers = _registers(dump, record, system, exception if thread_id == requesting_id else None)
        stack = _stack(dump, record, memory, registers, system.info.cpu)
        last_error = _last_error(memory, teb, system.info.cpu)
        name = dump.text(names[thread_id]) if thread_id in names else None
        threads.append(DumpThread(thread_id, registers, stack, name, last_error))
    return ThreadList(tuple(threads), requesting)


def _records(dump: DumpBytes, requesting_id: int | None) -> Sequence[Record]:
    """Return the records of at most MAX_THREADS threads, with that of the requesting thread."""
    stream = dump.require_stream(_THREAD_LIST, "list of threads")
    records = list(dump.records(stream, _THREAD, "threads", MAX_THREAD_RECORDS))
    if len(records) <= MAX_THREADS:
        return records
    dump.warn(f"minidump has {len(records)} threads; {MAX_THREADS} are read")
    later = (record for record in records[MAX_THREADS:] if record[0] == requesting_id)
    return [*records[: MAX_THREADS - 1], next(later, records[MAX_THREADS - 1])]


def _registers(
    dump: DumpBytes, record: Record, system: SystemRecord, exception: ExceptionRecord | None
) -> Registers | None:
    """Return the registers at the exception, or those of the thread if it has none."""
    size, rva = record[5:7]
    registers = read_context(exception.context, system.architecture) if exception else None
    return registers or read_context(dump.part_or_empty(size, rva), system.architecture)


def _stack(
    dump: DumpBytes, record: Record, memory: MemoryMap, registers: Registers | None, cpu: str
) -> MemoryRegion | None:
    """Return the memory to walk: the thread's stack, or the region at the stack pointer if that is elsewhere.

    Windows can leave the place of the stack empty; its base is then in the list of memory. The stack pointer
    of an exception can be in another stack than that of the thread, such as that of a signal handler.
    """
    base, size, rva = record[2:5]
    stack = read_region(dump, base, size, rva) or memory.find(base)
    if registers is None:
        return stack
    pointer = registers[ARCHITECTURES[cpu].stack]
    # As in rust-minidump, eight bytes must be there for processors of 32 bits too.
    if stack is None or stack.read(pointer, 8) is None:
        return memory.find(pointer) or stack
    return stack


def _last_error(memory: MemoryMap, teb: int, cpu: str) -> int | None:
    if cpu == "unknown":
        return None
    address = teb + _LAST_ERROR_POINTERS * POINTER_BYTES.get(cpu, 8)
    region = memory.find(address)
    return region.read(address, 4) if region else None
