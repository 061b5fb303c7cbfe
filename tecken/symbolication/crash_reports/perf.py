"""Samples of `perf script`, with the build ids of `perf buildid-list`.

    app   827 12345.678901:     250000 cycles:u:
                    1130 [unknown] (/usr/bin/app)
            555555555171 main+0x21 (/usr/bin/app+0x1171)
    app   827 12345.678: PERF_RECORD_MMAP2 827/827: [0x555555555000(0x1000) @ 0x1000 <6cb9...>]: r-xp /bin/app

Newer versions of perf print offsets in the file, which are below 2**40. Larger numbers are addresses, as
older versions print them: they are placed by the mappings that `--show-mmap-events` prints, unless
`-F +dsoff` adds the offset. One is subtracted, except in the innermost frame: call chains by frame pointers
have return addresses, and in those by DWARF one byte less is in the call as well.

Source: Linux, tools/perf/Documentation/perf-script.txt and perf-buildid-list.txt.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable, elf_id, file_name
from tecken.symbolication.crash_reports.parsed_report import (
    ParsedReport,
    ReportFrame,
    ReportModule,
    Threads,
    bytes_before,
)
from tecken.symbolication.crash_reports.places import parse_place
from tecken.symbolication.crash_reports.report_text import ReportText

EVENT = re.compile(r"\S.{0,200}?:\s{1,20}(?:\d{1,20}\s{1,20})?[\w/.=,:-]{1,100}:[a-zA-Z]{0,8}:?")
FRAME = re.compile(r"\s{1,40}([0-9a-f]{1,16}) (\S.*)")
MAPPED = re.compile(
    r"\[0x([0-9a-f]{1,16})\(0x([0-9a-f]{1,16})\) @ (?:0x)?([0-9a-f]{1,16}) ([^\]]{0,100})\]: \S{4} (/.+)"
)
MAPPED_ID = re.compile(r"<([0-9a-f]{16,64})>\]: ")
MAPPED_BUILD_ID = re.compile(r"<([0-9a-f]{16,64})>")
MMAP = "PERF_RECORD_MMAP2"
REPORTS = ("\n# Overhead ", "\n# Children ")
# Where programs are loaded on systems with 64 bits: 0x55..., 0x7f... A program without a load address of its
# own is below, and newer versions print its offsets as well.
LOWEST_ADDRESS = 1 << 40
COMMAND = "Run `(perf script --show-mmap-events; perf buildid-list) > perf.txt`, and send that file."
REMEDY = f"It has no build ids, or addresses without the mappings of files. {COMMAND}"
REPORT_REMEDY = f"It has no addresses. {COMMAND}"


def parse(text: ReportText) -> ParsedReport | None:
    """Return the samples of perf, or a report without frames for `perf report`."""
    if any(mark in text.raw for mark in REPORTS):
        return ParsedReport("perf report", (), (), remedy=REPORT_REMEDY)
    if "\n" not in text.raw or not any(_is_frame(line) for line in text.lines):
        return None
    table, threads, number = text.table(_spans(text)), Threads(), 0
    for line in text.lines:
        if _is_frame(line) and threads:
            threads.add(_frame(table, number, line))
            number += 1
        elif line and not line[0].isspace() and MMAP not in line and EVENT.match(line):
            threads.start(" ".join(line.split()[:2]))
            number = 0
    if not threads.has_frames():
        return None
    mapped = tuple(dict.fromkeys(found[1] for found in MAPPED_ID.finditer(text.raw)))
    build_ids = (*mapped, *text.noted(table))
    return ParsedReport(
        "perf script", table(), threads.with_frames(), "", tuple(table.remarks), build_ids, REMEDY
    )


def _is_frame(line: str) -> bool:
    return line.endswith(")") and line[:1].isspace() and bool(FRAME.fullmatch(line))


def _frame(table: ModuleTable, number: int, line: str) -> ReportFrame:
    match = FRAME.fullmatch(line)
    assert match
    address, before = int(match[1], 16), bytes_before(number)
    if place := parse_place(match[2]):
        return table.frame_in(place.path, place.offset, _name(place.before), before)
    name, _parenthesis, path = match[2].rpartition(" (")
    if address < LOWEST_ADDRESS and not path.startswith("["):
        return table.frame_in(path.removesuffix(")"), address, _name(name), before)
    return table.frame(address, _name(name), before)


def _name(text: str) -> str:
    return "" if text.startswith("[unknown]") else text


def _spans(text: ReportText) -> Iterator[ModuleRange]:
    for line in text.lines:
        match = MAPPED.match(line[line.index("[0x") :]) if MMAP in line and "[0x" in line else None
        if not match:
            continue
        start, length, offset = (int(digits, 16) for digits in match.group(1, 2, 3))
        name, found = file_name(match[5]), MAPPED_BUILD_ID.search(match[4])
        module = ReportModule(name, elf_id(found[1])) if found else text.ids.get(name, ReportModule(name, ""))
        yield ModuleRange(max(0, start - offset), start + length, module)
