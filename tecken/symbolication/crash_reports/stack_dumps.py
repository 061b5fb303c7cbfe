"""Stack dumps that programs print themselves: Chromium, Electron, ChromeDriver, LLVM and clang, Node.js.

    Received signal 11 SEGV_MAPERR 000000000008                          Chromium
    #0 0x555555555131 (/opt/app/chrome+0x1130)
    #1 0x555555555171 base::debug::StackTrace::StackTrace()
    PLEASE submit a bug report ...                                       LLVM
     #0 0x0000555555555131 llvm::sys::PrintStackTrace(...) (/usr/bin/clang+0x1131)
    Stacktrace:                                                          ChromeDriver
    #0 0x555555555131 <unknown>
     1: 0xb090e0 node::Abort() [node]                                    Node.js

All addresses are those to which calls return, because the program walks the stack in a function of its own:
one is subtracted. The offsets in a program that is not position-independent are its addresses, from which the
image base is subtracted. Modules without an offset come from lines that list them (`report_text`).

Source: Chromium, base/debug/stack_trace_posix.cc; LLVM, llvm/lib/Support/Unix/Signals.inc; Node.js,
src/debug_utils.cc.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import PER_CALLER, ParsedReport, ReportFrame, Threads
from tecken.symbolication.crash_reports.places import parse_place
from tecken.symbolication.crash_reports.report_text import ADD_BUILD_IDS, ReportText

HEADERS = {
    "Chromium stack dump": ("Received signal ", "base::debug::", "FATAL:", "<unknown>"),
    "LLVM stack dump": ("PLEASE submit a bug report", "Stack dump:", "llvm::sys::PrintStackTrace"),
    "Node.js stack dump": ("----- Native stack trace -----", "node::Abort()"),
}
FRAME = re.compile(r" {0,4}(?:#(\d{1,6})|\d{1,4}:) {1,3}0x([0-9a-f]{1,16})(?: (.*))?")
SIGNAL = re.compile(r"Received signal (\d.*)")
UNKNOWN = "<unknown>"
NO_MODULES = (
    "Its addresses have no modules. Run `eu-unstrip -n --pid=PID` while the program runs, or "
    "`eu-unstrip -n --core=CORE`, and paste its output below it."
)


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a stack dump."""
    kind = next((kind for kind, marks in HEADERS.items() if any(mark in text.raw for mark in marks)), "")
    if not kind:
        return None
    table, threads, reason = text.table(), Threads(), ""
    for line in text.lines:
        if match := FRAME.fullmatch(line):
            # Each dump begins with the frame number 0, in Node.js 1.
            if not threads or (match[1] == "0" and threads.has_frames()):
                threads.start("Stack", crashed=not threads)
            threads.add(_frame(table, int(match[2], 16), match[3] or ""))
        elif not reason and (match := SIGNAL.match(line)):
            reason = f"signal {match[1]}"
    if not threads.has_frames():
        return None
    remedy = ADD_BUILD_IDS if table() else NO_MODULES
    return ParsedReport(
        kind, table(), threads.with_frames(), reason, tuple(table.remarks), text.noted(table), remedy
    )


def _frame(table: ModuleTable, address: int, text: str) -> ReportFrame:
    if place := parse_place(text):
        return table.frame_in(
            place.path, place.offset, place.before, PER_CALLER, place.build_id, address=address
        )
    return table.frame(address, "" if text == UNKNOWN else text, PER_CALLER)
