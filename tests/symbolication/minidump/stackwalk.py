"""Reports without a walk, and those of minidump-stackwalk, so that all but the frames can be compared."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import orjson

from tecken.symbolication.minidump.dump import DumpThread, Minidump
from tecken.symbolication.minidump.port import ModuleState
from tecken.symbolication.minidump.read import read_minidump
from tecken.symbolication.minidump.report import write_report
from tecken.symbolication.minidump.stack import Stack, StackFrame

INSTRUCTION_POINTERS: Final = {"x86": "eip", "amd64": "rip", "arm": "pc", "arm64": "pc"}
# Keys that rust-minidump fills in with a disassembler.
ANALYSIS: Final = {
    *("adjusted_address", "instruction", "memory_accesses", "instruction_pointer_update"),
    "possible_bit_flips",
}
ADDITIONS: Final = {"symbols", "symbols_reason", "is_cut", "crashpad", "warnings"}
# Only a walk with symbols makes these equal.
WALKED: Final = {"frame_count", "missing_symbols", "loaded_symbols"}
Report = Mapping[str, Any]


def find_stackwalk() -> str | None:
    """Return the program, as `cargo install minidump-stackwalk` installs it; None if it is not there."""
    found = sorted(Path("/opt").glob("*/bin/minidump-stackwalk"))
    return shutil.which("minidump-stackwalk") or (str(found[0]) if found else None)


def their_report(program: str, dump: Path) -> Report | None:
    """Return the program's report; None if it refuses the dump."""
    done = subprocess.run([program, "--json", dump], capture_output=True, check=False, timeout=60)
    report: Report | None = None if done.returncode else orjson.loads(done.stdout)
    return report


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
    address = thread.registers[INSTRUCTION_POINTERS[dump.system.cpu]]
    return (StackFrame(address, dump.modules.find(address), "context", thread.registers),)


def comparable(key: str, value: Any) -> Any:
    """Return the value of a key without what differs by nature."""
    if key == "frames":
        return value[:1]
    # rust-minidump has the limits in an order of their hashes.
    return sorted(value, key=lambda limit: str(limit["name"])) if key == "limits" else value


def differences(ours: Any, theirs: Any, place: str = "") -> Iterator[str]:
    """Yield the keys with different values. Of frames only the first is compared."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in sorted((ours.keys() - ADDITIONS) | theirs.keys()):
            if key not in ANALYSIS | WALKED:
                values = (comparable(key, report.get(key, "no such key")) for report in (ours, theirs))
                yield from differences(next(values), next(values), f"{place}.{key}")
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (our_item, their_item) in enumerate(zip(ours, theirs, strict=True)):
            yield from differences(our_item, their_item, f"{place}[{number}]")
    elif ours != theirs:
        yield f"{place}: {ours!r}, and not {theirs!r}"
