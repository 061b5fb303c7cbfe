"""Backtraces of backtrace_symbols(3) of glibc, and of Python's faulthandler, which uses it.

    ./app(+0x1131)[0x564d4ae66131]
    /lib/libc.so.6(__libc_start_main+0x85) [0x7fad3b061305]
    Binary file "/usr/bin/python3", at _Py_DumpStack+0x3f [0x564d4ae66131]
    ./fixed() [0x401131]

An offset without a function is one into the module. With a function it is one into the function: then the
address in brackets is used, and the base of the module from another of its frames or from its mappings.
Empty parentheses mean a program that is not position-independent: the image base is subtracted. Build ids
come from lines that list them (`report_text`).

All addresses are those to which calls return: one is subtracted.

Source: glibc, debug/backtracesyms.c; CPython, Python/traceback.c.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from tecken.symbolication.crash_reports.module_table import ModuleRange, file_name, is_fixed
from tecken.symbolication.crash_reports.parsed_report import (
    PER_CALLER,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
)
from tecken.symbolication.crash_reports.report_text import ADD_BUILD_IDS, ReportText

GLIBC = re.compile(r"([^(\[]{1,4096})\((?:([^()+]{0,4096})\+(0x[0-9a-f]{1,16}))?\) ?\[(0x[0-9a-f]{1,16})\]")
PYTHON = re.compile(
    r'\s*Binary file "([^"]{1,4096})",(?: at ([^\s+]{0,4096})\+(0x[0-9a-f]{1,16}))? \[(0x[0-9a-f]{1,16})\]'
)


class TracedFrame(NamedTuple):
    """Frame of the text. `offset` is one into the function if there is one, None if there is none at all."""

    path: str
    function: str
    offset: int | None
    address: int


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a backtrace of glibc."""
    if "[0x" not in text.raw:
        return None
    traced = [_traced(match) for match in map(_match, text.lines) if match]
    if not traced:
        return None
    table, bases = text.table(), _bases(traced, text.spans)
    fixed = {frame.path for frame in traced if frame.offset is None and not frame.function}
    frames = []
    for frame in traced:
        given = f"{frame.function}+{frame.offset:#x}" if frame.function and frame.offset is not None else ""
        base = bases.get(file_name(frame.path))
        if frame.offset is not None and not frame.function:
            frames.append(table.frame_in(frame.path, frame.offset, given, PER_CALLER))
        elif base is not None and frame.address >= base:
            frames.append(table.frame_in(frame.path, frame.address - base, given, PER_CALLER))
        elif frame.path in fixed and is_fixed(frame.address):
            frames.append(table.frame_in(frame.path, frame.address, given, PER_CALLER, address=frame.address))
        else:
            frames.append(ReportFrame(None, frame.address, f"{frame.path}({given})"))
    python = any(PYTHON.fullmatch(line) for line in text.lines)
    kind = "Python's C stack trace" if python else "glibc backtrace"
    threads, remarks = (Thread("Backtrace", tuple(frames)),), tuple(table.remarks)
    return ParsedReport(kind, table(), threads, "", remarks, text.noted(table), ADD_BUILD_IDS)


def _match(line: str) -> re.Match[str] | None:
    return GLIBC.fullmatch(line) or PYTHON.fullmatch(line)


def _traced(match: re.Match[str]) -> TracedFrame:
    path, function, offset, address = match.groups()
    return TracedFrame(path, function or "", int(offset, 16) if offset else None, int(address, 16))


def _bases(frames: Iterable[TracedFrame], spans: Iterable[ModuleRange]) -> dict[str, int]:
    """Return the start of each module that mappings, or a frame with an offset into the module, tell."""
    listed = {span.module.debug_file: span.start for span in spans if span.module != ReportModule("", "")}
    told = {
        file_name(frame.path): frame.address - frame.offset
        for frame in frames
        if frame.offset is not None and not frame.function and frame.address >= frame.offset
    }
    return {**told, **listed}
