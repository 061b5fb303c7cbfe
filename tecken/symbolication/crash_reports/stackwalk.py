"""Parsers of the output of Breakpad's `minidump_stackwalk`: machine-readable (`-m`) and human-readable.

Source: Breakpad, src/processor/stackwalk_common.cc. Only frames without symbols have a module offset.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.parsed_report import (
    ModuleTable,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    Threads,
    bytes_before,
    parse_address,
)

MODULE_LINE = re.compile(r"^Module\|", re.MULTILINE)
FRAME_LINE = re.compile(
    r"^(\d{1,9})\|(\d{1,9})\|([^|\n]*)\|([^|\n]*)\|([^|\n]*)\|(\d*)\|(0x[0-9a-fA-F]{1,16})[ \t\r]*$",
    re.MULTILINE,
)
CRASH_LINE = re.compile(r"^Crash\|([^|\n]*)\|([^|\n]*)\|(\d*)", re.MULTILINE)

# Each expression is matched against a line without the spaces at its end.
THREAD_TITLE = re.compile(r"Thread (\d+)(?: \((.*)\))?")
FRAME_TITLE = re.compile(r" ?(\d{1,9})  (\S.*)")
PLAIN = re.compile(r"(.*) \+ (0x[0-9a-f]{1,16})")
MODULE_SPAN = re.compile(r"0x[0-9a-f]+ - 0x[0-9a-f]+  ")
NO_SYMBOLS = "(WARNING: No symbols, "
MODULE_ID = re.compile(r"(.+), ([0-9A-Fa-f]+)\)")
REASON = re.compile(r"^Crash reason:  (.*)$", re.MULTILINE)
HAVE_NO_ID = (
    "Only modules of which the text says `WARNING: No symbols` can be looked up; `-m` names them all."
)


def machine(text: str) -> ParsedReport | None:
    """Return the report in the output of `minidump_stackwalk -m`."""
    if not MODULE_LINE.search(text) or not FRAME_LINE.search(text):
        return None
    by_name = dict(_modules(text))
    modules = ModuleTable()
    frames_of: dict[str, list[ReportFrame]] = {}
    for thread, number, name, function, file, line, address in FRAME_LINE.findall(text):
        given = _description(function, file, line)
        if name in by_name and not function:
            offset = max(0, parse_address(address) - bytes_before(int(number)))
            frame = ReportFrame(modules.number(by_name[name]), offset)
        else:
            frame = ReportFrame(None, parse_address(address), f"{name}!{given}" if given else name)
        frames_of.setdefault(thread, []).append(frame)
    crash = CRASH_LINE.search(text)
    crashing = crash[3] if crash else ""
    threads = tuple(Thread(f"Thread {n}", tuple(frames), n == crashing) for n, frames in frames_of.items())
    reason = f"{crash[1]} at {crash[2]}" if crash and crash[2] else ""
    return ParsedReport("minidump_stackwalk -m", modules(), threads, reason)


def _modules(text: str) -> Iterator[tuple[str, ReportModule]]:
    for line in text.splitlines():
        fields = line.split("|")
        if fields[0] == "Module" and len(fields) >= 5:
            yield fields[1], ReportModule(fields[3], fields[4])


def _description(function: str, file: str, line: str) -> str:
    return f"{function} [{file}:{line}]" if file else function


def human(text: str) -> ParsedReport | None:
    """Return the report in the output of `minidump_stackwalk` without options."""
    if "Loaded modules:" not in text or not re.search(r"^Thread \d", text, re.MULTILINE):
        return None
    by_name = dict(_modules_without_symbols(text))
    modules, threads = ModuleTable(), Threads()
    for line in map(str.rstrip, text.partition("Loaded modules:")[0].splitlines()):
        if title := THREAD_TITLE.fullmatch(line):
            threads.start(f"Thread {title[1]}", "crashed" in (title[2] or ""))
        elif threads and (match := FRAME_TITLE.fullmatch(line)):
            threads.add(_frame(by_name, modules, int(match[1]), match[2]))
    reason = REASON.search(text)
    remarks = () if by_name else (HAVE_NO_ID,)
    return ParsedReport(
        "minidump_stackwalk", modules(), threads.with_frames(), reason[1] if reason else "", remarks
    )


def _modules_without_symbols(text: str) -> Iterator[tuple[str, ReportModule]]:
    """Yield the modules with an id, each with its name in frames. Only a warning about symbols has the id.

    `0x1000 - 0x1fff  libc.so.6  ???  (WARNING: No symbols, libc.so.6, EC61AC938E5A39B16F9FBD350E3169A50)`
    """
    for line in text.splitlines():
        start, warning, rest = line.rpartition(NO_SYMBOLS)
        span, identity = MODULE_SPAN.match(start), MODULE_ID.match(rest)
        if warning and span and identity:
            name = start[span.end() :].partition("  ")[0]
            yield name, ReportModule(identity[1], identity[2])


def _frame(by_name: dict[str, ReportModule], modules: ModuleTable, number: int, text: str) -> ReportFrame:
    plain = PLAIN.fullmatch(text)
    if plain and plain[1] in by_name:
        offset = max(0, parse_address(plain[2]) - bytes_before(number))
        return ReportFrame(modules.number(by_name[plain[1]]), offset)
    return ReportFrame(None, 0, text)
