"""Backtraces of LLDB, with the modules of `image list`.

    * thread #1, name = 'app', stop reason = signal SIGSEGV: invalid address (fault address: 0x8)
      * frame #0: 0x0000555555555130 app`___lldb_unnamed_symbol12 + 16
        frame #1: 0x0000555555555171 app`main + 33
    [  0] DBB96CB9-...-6F99-2E626C 0x0000555555554000 /usr/bin/app

The id is a UUID of a Mach-O file, or a build id of 20 bytes. One is subtracted from addresses, except in the
innermost frame.

Source: LLVM, LLDB documentation, frame format strings; lldb/source/Commands/CommandObjectTarget.cpp.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.module_table import (
    ModuleRange,
    ModuleTable,
    apple_id,
    elf_id,
    file_name,
)
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportModule, Threads, bytes_before
from tecken.symbolication.crash_reports.report_text import ReportText

THREAD = re.compile(r"\s*(?:\* )?thread #(\d{1,9})\b(.*)")
FRAME = re.compile(r"\s*(?:\* )?frame #(\d{1,9}): 0x([0-9a-f]{1,16}) (\S.*)")
IMAGE = re.compile(r"\s*\[ {0,4}\d{1,6}\] ([0-9A-F-]{16,80}) 0x([0-9a-f]{1,16}) (\S.*)")
UUID_DIGITS = 32
UNNAMED = "___lldb_unnamed_symbol"
REMEDY = "It has no modules. Run `image list` in LLDB, and paste its output below the backtrace."


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a backtrace of LLDB."""
    if "frame #" not in text.raw:
        return None
    images = list(filter(None, map(IMAGE.fullmatch, text.lines)))
    table, threads, reason = ModuleTable([*_spans(images), *text.spans], text.ids), Threads(), ""
    for line in text.lines:
        if match := THREAD.match(line):
            stop = match[2].partition("stop reason = ")[2]
            reason = reason or stop
            threads.start(f"Thread {match[1]}", bool(stop) and line.lstrip().startswith("*"))
        elif match := FRAME.fullmatch(line):
            if not threads:
                threads.start("Backtrace", crashed=True)
            function = match[3].partition("`")[2]
            given = "" if function.startswith(UNNAMED) else function or match[3]
            threads.add(table.frame(int(match[2], 16), given, bytes_before(int(match[1]))))
    if not threads.has_frames():
        return None
    ids = (match[1].replace("-", "").lower() for match in images)
    build_ids = tuple(build_id for build_id in ids if len(build_id) != UUID_DIGITS)
    return ParsedReport(
        "LLDB backtrace", table(), threads.with_frames(), reason, (), (*build_ids, *text.noted(table)), REMEDY
    )


def _spans(images: list[re.Match[str]]) -> Iterator[ModuleRange]:
    for match in images:
        digits = match[1].replace("-", "")
        debug_id = apple_id(digits) if len(digits) == UUID_DIGITS else elf_id(digits)
        # The list has no sizes: a module ends where the next one begins.
        yield ModuleRange(int(match[2], 16), 0, ReportModule(file_name(match[3].strip()), debug_id))
