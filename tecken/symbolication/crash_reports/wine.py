"""Backtraces of Wine's debugger, winedbg, and entries of the Windows event log.

    =>0 0x00401130 in app (+0x1130) (0x0032fe40)
      1 0x7b62c3d4 main+0x14(argc=1) [app.c:12] in app (0x0032fe80)

    Faulting application name: app.exe, version: 1.0.0.0, time stamp: 0x5fc4b2a1
    Faulting module name: app.dll, version: 1.0.0.0, time stamp: 0x5fc4b2a1
    Exception code: 0xc0000005
    Fault offset: 0x0000000000001130

Both have a module and an offset, and no debug id: it comes from a line that lists it (`report_text`), such as
`app.pdb 44E4EC8C2F41492B9369D6B9A059577C2`. One is subtracted from the callers of winedbg; the fault offset
of the event log is exact.

Source: Wine, programs/winedbg/stack.c; Microsoft, Windows Error Reporting, event 1000.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import (
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    bytes_before,
)
from tecken.symbolication.crash_reports.report_text import ReportText

WINE = re.compile(r"(?:=>|  ) {0,4}(\d{1,6}) 0x([0-9a-f]{8,16}) (.+)")
WINE_PLACE = re.compile(r"in ([^\s()]{1,255}) \(\+0x([0-9a-f]{1,16})\).*")
MODULE = re.compile(r"Faulting module name: ([^,]{1,255}),.*")
OFFSET = re.compile(r"Fault offset: 0x([0-9a-f]{1,16})")
CODE = re.compile(r"Exception code: (0x[0-9a-f]{8})")
REMEDY = (
    "It has no debug id. Run `tecken-upload check FILE` for the module or its PDB file, and add the line "
    "`FILE.pdb DEBUG-ID`."
)


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report of winedbg or of the event log."""
    frames = [match for match in map(WINE.fullmatch, text.lines) if match]
    if "=>0 0x" in text.raw and frames:
        table = ModuleTable(ids=_with_stems(text))
        rows = tuple(_wine_frame(table, match) for match in frames)
        threads = (Thread("Backtrace", rows, crashed=True),)
        return ParsedReport("Wine backtrace", table(), threads, "", tuple(table.remarks), (), REMEDY)
    return _event(text)


def _wine_frame(table: ModuleTable, match: re.Match[str]) -> ReportFrame:
    if place := WINE_PLACE.fullmatch(match[3]):
        return table.frame_in(place[1], int(place[2], 16), "", bytes_before(int(match[1])))
    return ReportFrame(None, int(match[2], 16), match[3])


def _event(text: ReportText) -> ParsedReport | None:
    if "Fault offset: " not in text.raw:
        return None
    module, offset, code = (
        next(filter(None, map(pattern.fullmatch, map(str.strip, text.lines))), None)
        for pattern in (MODULE, OFFSET, CODE)
    )
    if module is None or offset is None:
        return None
    table = ModuleTable(ids=_with_stems(text))
    frame = table.frame_in(module[1], int(offset[1], 16))
    threads = (Thread("Fault", (frame,), crashed=True),)
    return ParsedReport(
        "Windows event log", table(), threads, code[1] if code else "", tuple(table.remarks), (), REMEDY
    )


def _with_stems(text: ReportText) -> dict[str, ReportModule]:
    """Return the listed modules; that of app.pdb also as app, app.exe and app.dll."""
    found = dict(text.ids)
    for name, module in text.ids.items():
        stem, dot, ending = name.rpartition(".")
        if dot and ending.lower() == "pdb":
            found |= {other: module for other in (stem, f"{stem}.exe", f"{stem}.dll") if other not in found}
    return found
