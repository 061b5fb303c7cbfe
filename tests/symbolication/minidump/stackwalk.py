"""Reports without a walk, and the parts of reports that do not depend on one."""

from __future__ import annotations

from typing import Any, Final

import orjson

from tecken.symbolication.minidump.dump import DumpThread, Minidump
from tecken.symbolication.minidump.port import ModuleState
from tecken.symbolication.minidump.read import read_minidump
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.stack import Stack, StackFrame
from tecken.symbolication.minidump.unwind.arch import ARCHITECTURES
from tests.oracle.minidumps import Report

LEFT_OUT: Final = {
    # Our additions.
    *("symbols", "symbols_reason", "is_cut", "stack_overflow", "crashpad", "warnings"),
    # Only a walk with symbols makes these equal.
    *("frame_count", "missing_symbols", "loaded_symbols"),
}


def report_of(content: bytes) -> Report:
    """Return our report with the first frame of each thread."""
    dump = read_minidump(memoryview(content))
    stacks = [Stack(first_frame(dump, thread)) for thread in dump.threads]
    states = [ModuleState("unused")] * len(dump.modules.all)
    report: Report = orjson.loads(
        write_report(dump, stacks, [[None] * len(stack.frames) for stack in stacks], states)
    )
    return report


def first_frame(dump: Minidump, thread: DumpThread) -> tuple[StackFrame, ...]:
    """Return the frame of the thread's context."""
    if thread.registers is None:
        return ()
    address = thread.registers[ARCHITECTURES[dump.system.cpu].instruction]
    return (StackFrame(address, dump.modules.find(address), "context", thread.registers),)


def unwalked(value: Any, key: str = "") -> Any:
    """Return a part of a report, which has this key, with the first frame of each thread only."""
    if isinstance(value, dict):
        return {name: unwalked(item, name) for name, item in value.items() if name not in LEFT_OUT}
    if not isinstance(value, list):
        return value
    items = [unwalked(item) for item in value[: 1 if key == "frames" else None]]
    # rust-minidump has the limits in an order of their hashes.
    return sorted(items, key=lambda limit: str(limit["name"])) if key == "limits" else items
