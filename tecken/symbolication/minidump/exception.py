"""Exception that ended the process, and the threads that the crash handler names."""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tecken.symbolication.minidump.dump_bytes import DumpBytes, unpack

EXCEPTION: Final = 6
_HANDLER_INFO: Final = 0x4767_0001
# Thread, alignment; code, flags, record, address, number of parameters, alignment, parameters; context.
_LAYOUT: Final = Struct("<I4xIIQQI4x15QII")
_HANDLER: Final = Struct("<III")


class ExceptionRecord(NamedTuple):
    """Exception, as the operating system reported it. `context` are the bytes of its registers.

    The first `parameter_count` of the `parameters` mean something. For Linux `code` is the signal and `flags`
    its si_code; for macOS `code` is the type of the exception and `flags` the first half of its code.
    """

    thread: int
    code: int
    flags: int
    address: int
    parameter_count: int
    parameters: tuple[int, ...]
    context: memoryview


class SpecialThreads(NamedTuple):
    """Ids of the thread that wrote the dump, and of the thread for which it was written; None if unknown."""

    writer: int | None
    requesting: int | None


def read_exception(dump: DumpBytes) -> ExceptionRecord | None:
    """Return the exception; None for a dump without a crash."""
    return dump.read_stream(EXCEPTION, "exception", lambda stream: _exception(dump, stream), None)


def read_special_threads(dump: DumpBytes) -> SpecialThreads:
    """Return the threads that the crash handler names."""
    return dump.read_stream(
        _HANDLER_INFO, "information of the crash handler", _threads, SpecialThreads(None, None)
    )


def _exception(dump: DumpBytes, stream: memoryview) -> ExceptionRecord:
    thread, code, flags, _, address, count, *rest = unpack(_LAYOUT, stream)
    size, rva = rest[15:]
    context = dump.part_or_empty(size, rva)
    return ExceptionRecord(thread, code, flags, address, count, tuple(rest[:15]), context)


def _threads(stream: memoryview) -> SpecialThreads:
    valid, writer, requesting = unpack(_HANDLER, stream)
    return SpecialThreads(writer if valid & 1 else None, requesting if valid & 2 else None)
