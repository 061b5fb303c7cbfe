"""Backtraces of gdb, with the modules of `eu-unstrip -n`, or of `info proc mappings` and a line for each id.

    Thread 2 (Thread 0x7f... (LWP 827)):
    #0  0x0000555555555130 in ?? () from /usr/lib/libapp.so
    #1  0x0000555555555171 in main () at app.c:12
    #2  main (argc=1) at app.c:12

gdb prints no build ids, and `info sharedlibrary` has the addresses of .text sections, not those of modules.
`report_text` reads the lists. One is subtracted from addresses, except in the innermost frame.

Source: GDB manual, Backtraces, Process Information, Files.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Threads, bytes_before
from tecken.symbolication.crash_reports.report_text import ReportText

# Each expression is matched against one line. The number of digits is bounded, because int() raises
# ValueError for thousands of digits.
FRAME = re.compile(r"#(\d{1,9})\s+(?:(0x[0-9a-f]{1,16}) in )?(.*)")
THREAD = re.compile(r"Thread (\d+)\b.*:")
SIGNAL = re.compile(r"Program (?:received signal|terminated with signal) (.+)")
REMEDY = (
    "Run `eu-unstrip -n --core=CORE`, or `eu-unstrip -n --pid=PID` while the "
    "program runs, and paste its output below the backtrace."
)


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a backtrace of gdb, with or without a list of modules."""
    if "#" not in text.raw or not any(match[2] for match in map(FRAME.fullmatch, text.lines) if match):
        return None
    table, threads, reason = text.table(), Threads(), ""
    threads.start("Backtrace", crashed=True)
    for line in text.lines:
        if title := THREAD.fullmatch(line):
            threads.start(f"Thread {title[1]}")
        elif match := FRAME.fullmatch(line):
            threads.add(_frame(table, match))
        elif not reason and (match := SIGNAL.match(line)):
            reason = match[1].rstrip(".")
    has_ids = any(span.module.debug_id for span in table.spans)
    kind = "gdb backtrace and list of modules" if has_ids else "gdb backtrace without build ids"
    return ParsedReport(kind, table(), threads.with_frames(), reason, (), text.noted(table), REMEDY)


def _frame(table: ModuleTable, match: re.Match[str]) -> ReportFrame:
    number, address, text = match.groups()
    given = "" if text.startswith("??") else text
    # gdb leaves the innermost frame's address out when it is the first of its source line.
    if not address:
        return ReportFrame(None, 0, given)
    return table.frame(int(address, 16), given, bytes_before(int(number)))
