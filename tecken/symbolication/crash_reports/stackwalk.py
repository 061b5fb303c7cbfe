"""Output of stack walkers for minidumps: Breakpad's, with and without `-m`, and rust-minidump's.

    Module|app|1.0|app|DADBB96C91ED58F912FB09F7F2655E6F0|0x00400000|0x00404fff|1
    1|0|app||||0x1205                                  thread, frame, module, function, file, line, offset

    Thread 0 (crashed)                                 Breakpad
    Thread 0 worker-1 (crashed) - tid: 4711            rust-minidump
     0  app + 0x1205
    Loaded modules:
    0x400000 - 0x404fff  app  ???  (WARNING: No symbols, app, DADBB96C91ED58F912FB09F7F2655E6F0)

Only frames without symbols have an offset in the module, and in the human-readable form only modules without
symbols have an id. Breakpad's offsets are those to which calls return: one is subtracted, except in the
innermost frame. rust-minidump has subtracted it already.

Source: Breakpad, src/processor/stackwalk_common.cc; rust-minidump, minidump-processor/src/process_state.rs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable
from tecken.symbolication.crash_reports.parsed_report import (
    ADDRESS_CHARACTERS,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    Threads,
    bytes_before,
    parse_address,
)
from tecken.symbolication.crash_reports.report_text import ReportText

MODULE_MARK = "Module|"
FRAME_LINE = re.compile(
    r"(\d{1,9})\|(\d{1,9})\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|(\d*)\|(0x[0-9a-fA-F]{1,16})"
)
CRASH_LINE = re.compile(r"Crash\|([^|\n]*)\|([^|\n]*)\|(\d*)")

# Each expression is matched against a line without the spaces at its end.
THREAD_TITLE = re.compile(r"Thread (\d{1,9})\b(.*)")
RUST_TITLE = " - tid: "
CRASHED = "(crashed)"
FRAME_TITLE = re.compile(r" ?(\d{1,9})  (\S.*)")
PLAIN = re.compile(r"(.*) \+ (0x[0-9a-f]{1,16})")
MODULE_SPAN = re.compile(r"(0x[0-9a-f]{1,16}) - (0x[0-9a-f]{1,16})  ")
NO_SYMBOLS = "(WARNING: No symbols, "
MODULE_ID = re.compile(r"(.+), ([0-9A-Fa-f]+)\)")
REASON = re.compile(r"Crash reason:  (.*)")
MACHINE_REMEDY = "Its frames have functions already: nothing is left to look up."
HUMAN_REMEDY = (
    "Only modules of which the text says `WARNING: No symbols` can be looked up. Run the program with `-m`, "
    "or `minidump-stackwalk --json`, which name them all."
)


def parse_machine(text: ReportText) -> ParsedReport | None:
    """Return the report in the output of `minidump_stackwalk -m`."""
    if MODULE_MARK not in text.raw:
        return None
    rows = [match for match in map(FRAME_LINE.fullmatch, text.lines) if match]
    if not rows:
        return None
    table = ModuleTable(_machine_spans(text.lines))
    frames: dict[str, list[ReportFrame]] = {}
    for row in rows:
        frames.setdefault(row[1], []).append(_machine_frame(table, row))
    crash = next(filter(None, map(CRASH_LINE.match, text.lines)), None)
    crashing = crash[3] if crash else ""
    threads = tuple(Thread(f"Thread {n}", tuple(found), n == crashing) for n, found in frames.items())
    reason = f"{crash[1]} at {crash[2]}" if crash and crash[2] else ""
    remarks = tuple(table.remarks)
    return ParsedReport("minidump_stackwalk -m", table(), threads, reason, remarks, remedy=MACHINE_REMEDY)


def _machine_frame(table: ModuleTable, row: re.Match[str]) -> ReportFrame:
    _thread, number, name, function, file, line, address = row.groups()
    given = f"{function} [{file}:{line}]" if file else function
    if name in table.names and not function:
        return table.frame_in(name, parse_address(address), "", bytes_before(int(number)))
    return ReportFrame(None, parse_address(address), f"{name}!{given}" if given else name)


def _machine_spans(lines: Iterable[str]) -> Iterator[ModuleRange]:
    for line in lines:
        fields = line.split("|")
        if fields[0] == "Module" and len(fields) >= 5:
            start, last = (_address(field) for field in (*fields[5:7], "", "")[:2])
            end = last + 1 if last > start else 0
            yield ModuleRange(start, end, ReportModule(fields[3], fields[4]), fields[1])


def _address(text: str) -> int:
    try:
        return parse_address(text[:ADDRESS_CHARACTERS])
    except ValueError:
        return 0


def parse_human(text: ReportText) -> ParsedReport | None:
    """Return the report in the output of a stack walker without options."""
    if "Loaded modules:" not in text.raw:
        return None
    table, threads, reason, is_rust = ModuleTable(_human_spans(text.lines)), Threads(), "", False
    for line in text.lines:
        if line == "Loaded modules:":
            break
        if title := THREAD_TITLE.fullmatch(line):
            is_rust = is_rust or RUST_TITLE in line
            name = title[2].partition(RUST_TITLE)[0].replace(CRASHED, "").strip()
            threads.start(f"Thread {title[1]} {name}".strip(), CRASHED in line)
        elif threads and (match := FRAME_TITLE.fullmatch(line)):
            before = 0 if is_rust else bytes_before(int(match[1]))
            threads.add(_human_frame(table, match[2], before))
        elif not reason and (match := REASON.match(line)):
            reason = match[1]
    if not threads:
        return None
    remarks = tuple(table.remarks)
    return ParsedReport(
        "minidump_stackwalk", table(), threads.with_frames(), reason, remarks, remedy=HUMAN_REMEDY
    )


def _human_frame(table: ModuleTable, text: str, before: int) -> ReportFrame:
    plain = PLAIN.fullmatch(text)
    if plain and plain[1] in table.names:
        return table.frame_in(plain[1], parse_address(plain[2]), "", before)
    return ReportFrame(None, 0, text)


def _human_spans(lines: Iterable[str]) -> Iterator[ModuleRange]:
    """Yield the modules with an id, each with its name in frames. Only a warning about symbols has the id."""
    for line in lines:
        start, warning, rest = line.rpartition(NO_SYMBOLS)
        span, identity = MODULE_SPAN.match(start), MODULE_ID.match(rest)
        if warning and span and identity:
            name = start[span.end() :].partition("  ")[0]
            module = ReportModule(identity[1], identity[2])
            yield ModuleRange(parse_address(span[1]), parse_address(span[2]) + 1, module, name)
