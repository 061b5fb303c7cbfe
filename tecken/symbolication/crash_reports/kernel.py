"""Messages of the Linux kernel about a crash: of a program, and of the kernel itself (oops).

    app[827]: segfault at 8 ip 0000555555555130 sp 00007ffe... error 4 in app[555555555000+1000]
    app[827]: segfault at 8 ip 0000555555555130 sp 00007ffe... error 4 in app[1130,555555555000+1000]
    traps: app[827] general protection fault ip:555555555130 sp:7ffe... error:0 in app[555555555000+1000]

The brackets have the start and the size of one mapping, which is that of the segment with code, not the
start of the module. Kernels from 6.10 on also have the offset in the file. Where the segment is in the module
comes from `readelf -lnW app` below the message:

    LOAD 0x001000 0x0000000000001000 0x0000000000001000 0x0001d5 0x0001d5 R E 0x1000
    Build ID: 6cb9dbda...

The address is that of the instruction: nothing is subtracted. Functions of an oops have names already.

Source: Linux, mm/memory.c, print_vma_addr; arch/x86/mm/fault.c; binutils, readelf(1).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Thread
from tecken.symbolication.crash_reports.report_text import ReportText

FAULT = re.compile(r"(?:traps: )?([^\[]{1,64})\[(\d{1,10})\](?::| ) ?(\S.*)")
IP = re.compile(r"\b(?:ip|pc|RIP)[ :]{1,3}(?:0x)?([0-9a-f]{1,16})\b")
MAPPED = re.compile(r"(.{1,255})\[(?:([0-9a-f]{1,16}),)?([0-9a-f]{1,16})\+([0-9a-f]{1,16})\]")
SEGMENT = re.compile(
    r"\s*LOAD\s+0x([0-9a-f]{1,16})\s+0x([0-9a-f]{1,16})\s+0x[0-9a-f]{1,16}\s+0x[0-9a-f]{1,16}"
    r"\s+0x[0-9a-f]{1,16}\s+R E\s+0x[0-9a-f]{1,16}"
)
BUILD_ID = re.compile(r"\s*Build ID: ([0-9a-f]{16,128})")
OOPS = ("RIP: 0010:", "Call Trace:", "Call trace:\n")
PAGE = 0x1000
REMEDY = (
    "It has the place in a mapping, not in the module. Run `readelf -lnW FILE` for the program or library in "
    "its last word, and paste the output below it."
)
OOPS_REMEDY = (
    "Its frames have functions already. For files and lines run `scripts/decode_stacktrace.sh vmlinux` of "
    "your kernel's source."
)


class CodeSegment(NamedTuple):
    """Segment with code of the only module that the output of readelf describes."""

    offset: int
    address: int
    build_id: str


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in messages of the kernel."""
    faults = [match for match in map(FAULT.match, text.lines) if match and " in " in match[3]]
    table, segment = text.table(), _segment(text.lines)
    threads, reasons = [], []
    for fault in faults:
        found = _frame(table, segment, fault[3])
        if found:
            threads.append(Thread(f"{fault[1]}[{fault[2]}]", (found,), crashed=True))
            reasons.append(fault[3].partition(" in ")[0])
    if not threads:
        return _oops(text)
    return ParsedReport(
        "kernel message", table(), tuple(threads), reasons[0], tuple(table.remarks), text.noted(table), REMEDY
    )


def _oops(text: ReportText) -> ParsedReport | None:
    if not any(mark in text.raw for mark in OOPS):
        return None
    return ParsedReport("kernel oops", (), (), remedy=OOPS_REMEDY)


def _frame(table: ModuleTable, segment: CodeSegment | None, text: str) -> ReportFrame | None:
    message, _in, place = text.rpartition(" in ")
    # `likely on CPU 0 (core 0, socket 0)` follows in newer kernels.
    mapped, ip = MAPPED.match(place.partition(" likely on CPU ")[0]), IP.search(message)
    if not mapped or not ip:
        return None
    name, in_file, start, _size = mapped.groups()
    address = int(ip[1], 16)
    if in_file or segment:
        offset = _offset(segment, int(in_file, 16) if in_file else None, address - int(start, 16))
        return table.frame_in(name, offset, build_id=segment.build_id if segment else "")
    return table.frame(address, place)


def _offset(segment: CodeSegment | None, in_file: int | None, in_mapping: int) -> int:
    """Return the offset in the module.

    A mapping begins at the page of its segment. Without the segment the offset in the file has to do: it
    differs only where a linker has moved the code, such as lld.
    """
    if segment is None:
        return in_file or 0
    place = (segment.offset & -PAGE) + in_mapping if in_file is None else in_file
    return max(0, place - segment.offset + segment.address)


def _segment(lines: list[str]) -> CodeSegment | None:
    segments = [match for match in map(SEGMENT.fullmatch, lines) if match]
    build_ids = [match[1] for match in map(BUILD_ID.fullmatch, lines) if match]
    if len(segments) != 1 or len(build_ids) != 1:
        return None
    return CodeSegment(int(segments[0][1], 16), int(segments[0][2], 16), build_ids[0])
