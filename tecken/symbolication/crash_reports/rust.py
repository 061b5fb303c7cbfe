"""Panics and backtraces of Rust programs.

    thread 'main' panicked at src/main.rs:4:5:
    stack backtrace:
       0:     0x555555555130 - std::backtrace_rs::backtrace::trace
                                   at /rustc/.../backtrace/mod.rs:66:5
       1:     0x555555555171 - <unknown>
       2: app::main

Only `RUST_BACKTRACE=full` prints addresses, and modules have to be listed below (`report_text`). All
addresses are those to which calls return: one is subtracted. A panic of a program with debug information has
functions, files and lines already.

Source: Rust, library/std/src/sys/backtrace.rs and library/std/src/panicking.rs.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.parsed_report import PER_CALLER, ParsedReport, ReportFrame, Thread
from tecken.symbolication.crash_reports.report_text import ReportText

PANIC = re.compile(r"thread '([^']{0,200})'(?: \(\d{1,10}\))? panicked at (.+)")
FRAME = re.compile(r"\s*(\d{1,6}):\s{1,6}(?:0x([0-9a-f]{1,16}) - )?(\S.*)")
UNKNOWN = "<unknown>"
HEADER = "stack backtrace:"
NAMED = (
    "Its frames have functions already, and files and lines where the program has debug information. For the "
    "frames without, run the program with `RUST_BACKTRACE=full`, and add what `eu-unstrip -n --pid=PID` "
    "prints."
)
REMEDY = (
    "Its addresses have no modules. Run `eu-unstrip -n --pid=PID` while the program runs, or "
    "`eu-unstrip -n --core=CORE`, and paste its output below the backtrace."
)
SHORT = "It has no backtrace. Run the program with `RUST_BACKTRACE=full`."


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a panic or backtrace of Rust."""
    panic = next(filter(None, map(PANIC.match, text.lines)), None)
    if panic is None and HEADER not in text.raw:
        return None
    table, frames, addresses = text.table(), [], False
    for match in filter(None, map(FRAME.fullmatch, text.lines)):
        given = "" if match[3] == UNKNOWN else match[3]
        addresses |= bool(match[2])
        frames.append(
            table.frame(int(match[2], 16), given, PER_CALLER) if match[2] else ReportFrame(None, 0, given)
        )
    remedy = SHORT if not frames else REMEDY if addresses else NAMED
    name = panic[1] if panic else "Backtrace"
    reason = f"panicked at {panic[2].rstrip(':')}" if panic else ""
    threads = (Thread(name, tuple(frames), crashed=True),)
    return ParsedReport("Rust panic", table(), threads, reason, (), text.noted(table), remedy)
