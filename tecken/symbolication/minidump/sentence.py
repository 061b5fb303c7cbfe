"""Crash reasons in words: what happened and where, in one sentence for people.

Sources: signal(7) and sigaction(2) of Linux; Microsoft, EXCEPTION_RECORD and NTSTATUS values; Apple,
"Understanding the exception types in a crash report"; rust-minidump, the texts of `CrashReason`.
"""

from __future__ import annotations

import re
from typing import Final

from tecken.symbolication.minidump.report_values import shorten
from tecken.symbolication.minidump.summary import DumpSummary, ReportedFrame

STACK_OVERFLOW: Final = "EXCEPTION_STACK_OVERFLOW"
# Beginnings of reasons, those with more words first. `{at}` is the address.
CAUSES: Final = {
    "EXCEPTION_ACCESS_VIOLATION_READ": "it read from {at}",
    "EXCEPTION_ACCESS_VIOLATION_WRITE": "it wrote to {at}",
    "EXCEPTION_ACCESS_VIOLATION_EXEC": "it jumped to {at}, where no code is",
    "EXCEPTION_ACCESS_VIOLATION": "it accessed {at}",
    "EXCEPTION_IN_PAGE_ERROR": "the page at {at} could not be read from its file",
    STACK_OVERFLOW: "it used up its stack, most often by endless recursion",
    "EXCEPTION_STACK_BUFFER_OVERRUN": "it ended itself: a check of its stack or of its state failed",
    "EXCEPTION_HEAP_CORRUPTION": "its heap is corrupt; the cause may be earlier than this stack",
    "STATUS_HEAP_CORRUPTION": "its heap is corrupt; the cause may be earlier than this stack",
    "EXCEPTION_INT_DIVIDE_BY_ZERO": "it divided an integer by zero",
    "EXCEPTION_ILLEGAL_INSTRUCTION": "it executed an instruction that does not exist",
    "EXCEPTION_PRIV_INSTRUCTION": "it executed an instruction that only the system may execute",
    "EXCEPTION_BREAKPOINT": "it reached a breakpoint, with which programs also end at a failed check",
    "Unhandled C++ Exception": "it threw a C++ exception that no code caught",
    "Out of Memory": "it ran out of memory",
    "SIGSEGV / SEGV_MAPERR": "it accessed {at}, where no memory is",
    "SIGSEGV / SEGV_ACCERR": "it accessed {at}, whose memory does not allow this",
    "SIGSEGV / SI_KERNEL": "it accessed an address that cannot exist",
    "SIGSEGV": "it accessed {at}, which it may not",
    "SIGBUS / BUS_ADRALN": "it accessed {at}, which is not aligned",
    "SIGBUS / BUS_ADRERR": "it accessed {at}, which is past the end of a mapped file",
    "SIGBUS": "it accessed {at}, which the memory cannot answer",
    "SIGABRT": "it ended itself with abort(), most often after a failed check or an uncaught exception",
    "SIGILL": "it executed an instruction that does not exist",
    "SIGTRAP": "it reached a breakpoint, with which programs also end at a failed check",
    "SIGFPE / FPE_INTDIV": "it divided an integer by zero",
    "SIGFPE": "a calculation failed",
    "SIGSYS": "it made a system call that its sandbox does not allow",
    "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS": "it accessed {at}, where no memory is",
    "EXC_BAD_ACCESS / KERN_PROTECTION_FAILURE": "it accessed {at}, whose memory does not allow this",
    "EXC_BAD_ACCESS": "it accessed {at}, which it may not",
    "EXC_BAD_INSTRUCTION": "it executed an instruction that does not exist",
    "EXC_BREAKPOINT": "it reached a breakpoint, with which programs also end at a failed check",
    "EXC_ARITHMETIC": "a calculation failed",
    "EXC_CRASH": "it ended itself, most often after a failed check or an uncaught exception",
    "EXC_RESOURCE": "it exceeded a limit of the system for processor time, memory or wake-ups",
    "EXC_GUARD": "it used a resource in a way that its guard does not allow",
}
NO_CRASH: Final = ("Simulated Exception", "DUMP_REQUESTED", "SIGQUIT")
LONGEST_CAUSES_FIRST: Final = sorted(CAUSES, key=len, reverse=True)
ADDRESS: Final = re.compile(r"0x[0-9a-fA-F]{1,16}")
# Pointers to the members of a large object, when the pointer to the object is null.
NEAR_NULL: Final = 1 << 16
# Frames among which the program's own function is looked for.
CALLERS: Final = 30


def describe_crash(summary: DumpSummary) -> str:
    """Return what happened and where, in one sentence."""
    program, frame = summary.program or "The program", summary.first_frame
    place = f" in {_describe_place(frame)}{_describe_caller(summary)}" if frame else ""
    if not summary.reason:
        return f"The dump{f' of {summary.program}' if summary.program else ''} has no crash."
    if summary.reason.startswith(NO_CRASH):
        return f"{program} did not crash: the dump was requested{f' while it was{place}' if place else ''}."
    cause = _describe_cause(summary, frame)
    return f"{program} crashed{place}{f': {cause}' if cause else ''}."


def _describe_cause(summary: DumpSummary, frame: ReportedFrame | None) -> str:
    if summary.is_stack_overflow:
        return CAUSES[STACK_OVERFLOW]
    text = next((CAUSES[start] for start in LONGEST_CAUSES_FIRST if summary.reason.startswith(start)), "")
    if "{at}" not in text:
        return text
    if not ADDRESS.fullmatch(summary.address):
        return text.format(at="memory")
    address = int(summary.address, 16)
    if frame and not frame.module and ADDRESS.fullmatch(frame.place) and int(frame.place, 16) == address:
        return f"it jumped to {shorten(summary.address)}, where no code is{_note_null(address)}"
    return f"{text.format(at=f'address {shorten(summary.address)}')}{_note_null(address)}"


def _note_null(address: int) -> str:
    if not address:
        return " (a null pointer)"
    return " (close to null: most often a member of a null pointer)" if address < NEAR_NULL else ""


def _describe_caller(summary: DumpSummary) -> str:
    """Return the first function of the program itself, if a library has crashed that it has called."""
    frames = summary.crashing.first[:CALLERS] if summary.crashing else ()
    if not summary.program or (frames and frames[0].module == summary.program):
        return ""
    own = (
        frame for frame in frames if frame.module == summary.program and frame.call and frame.trust != "scan"
    )
    caller = next(own, None)
    return f", called from {_describe_place(caller)}" if caller else ""


def _describe_place(frame: ReportedFrame) -> str:
    call = frame.inlines[0] if frame.inlines else frame.call
    if not call:
        return frame.place or "an unknown place"
    file = call.file.replace("\\", "/").rpartition("/")[2]
    line = f":{call.line}" if call.line is not None else ""
    return f"{call.function} ({file}{line})" if file else call.function
