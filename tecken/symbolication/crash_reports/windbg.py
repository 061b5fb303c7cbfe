"""Stacks of WinDbg, cdb and kd: `k`, `kb`, `kn`, `kv`, `!analyze -v`, with the modules of `lm` and `!lmi`.

     # Child-SP          RetAddr               Call Site
    00 000000c4`1b2ffb10 00007ff6`a5c41171     app+0x1130
    01 000000c4`1b2ffb40 00007ffb`1234abcd     app!main+0x21
    000000c4`1b2ffb10 00007ff6`a5c41171 : 00000000`00000000 ... : app+0x1130

    start             end                 module name
    00007ff6`a5c40000 00007ff6`a5c4a000   app        (pdb symbols)  C:\\sym\\app.pdb\\44E4EC...C2\\app.pdb
    Module: app                                                     !lmi app
      RSDS - GUID: {44E4EC8C-2F41-492B-9369-D6B9A059577C}
        Age: 2, Pdb: C:\\build\\app.pdb

Only the path of a symbol cache and `!lmi` have the id of the PDB file. A frame's address is the return
address in the frame above it, so that frames whose function WinDbg has guessed from exports are looked up as
well. One is subtracted, except in the innermost frame.

Source: Microsoft, Debugger Commands: k, lm, !lmi.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable, file_name
from tecken.symbolication.crash_reports.parsed_report import (
    PER_CALLER,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Threads,
)
from tecken.symbolication.crash_reports.report_text import ReportText

WORD = r"[0-9a-f]{8}(?:`?[0-9a-f]{8})?"
FRAME = re.compile(rf"(?:([0-9a-f]{{2,4}}) )?({WORD}|\(Inline Function\)) ({WORD}|-{{8}}`-{{8}}) +(\S.*)")
TITLE = re.compile(r"(?: # )?(?:Child-?(?:SP|EBP)|STACK_TEXT:|ChildEBP).*")
PLACE = re.compile(r"([^\s!+]{1,255})\+0x([0-9a-f]{1,16})")
LISTED = re.compile(rf"({WORD}) ({WORD}) {{3}}(\S{{1,255}}+)(.*)")
CACHED = re.compile(r"\\([^\\]{1,255})\\([0-9A-Fa-f]{33,40})\\[^\\]{1,255}$")
LMI_NAME = re.compile(r"\s*Module: (\S{1,255})")
LMI_GUID = re.compile(r".{0,80}RSDS - GUID: \{([0-9A-Fa-f-]{36})\}")
LMI_AGE = re.compile(r"\s*Age: ([0-9a-f]{1,8}), Pdb: (.+)")
EXCEPTION = re.compile(r"\s*ExceptionCode: ([0-9a-f]{8}.*)")
REMEDY = (
    "It has no ids of PDB files. Run `lm; !for_each_module !lmi @#ModuleName` in WinDbg, and paste its "
    "output below the stack."
)


class ListedPdb(NamedTuple):
    """PDB file of a module, by its name in frames."""

    name: str
    module: ReportModule


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in the output of WinDbg."""
    if not any(map(TITLE.fullmatch, text.lines)):
        return None
    pdbs = {pdb.name: pdb.module for pdb in (*_cached(text.lines), *_described(text.lines))}
    table, threads, reason = ModuleTable(_spans(text.lines, pdbs), pdbs), Threads(), ""
    address, in_stack = 0, False
    for line in text.lines:
        match = FRAME.fullmatch(line) if in_stack else None
        if TITLE.fullmatch(line):
            threads.start(f"Stack {len(threads) + 1}", not threads)
            address, in_stack = 0, True
        elif match:
            threads.add(_frame(table, address, match[4]))
            # An inlined frame has no return address.
            address = address if match[3].startswith("-") else int(match[3].replace("`", ""), 16)
        else:
            # The lines of `lm` look like frames, so a stack ends at the first other line.
            in_stack = False
            if not reason and (found := EXCEPTION.match(line)):
                reason = found[1]
    if not threads.has_frames():
        return None
    return ParsedReport(
        "WinDbg stack", table(), threads.with_frames(), reason, tuple(table.remarks), (), REMEDY
    )


def _frame(table: ModuleTable, address: int, text: str) -> ReportFrame:
    """Return a frame; `address` is its return address, 0 in the innermost one."""
    # The arguments of `kb`, `kv` and STACK_TEXT stand before the call site.
    site = text.rpartition(" : ")[2].strip()
    words = site.split(" [", 1)[0].split()
    call = next((word for word in reversed(words) if "+0x" in word or "!" in word), site)
    given = call if "!" in call else ""
    before = PER_CALLER if address else 0
    if place := PLACE.fullmatch(call):
        return table.frame_in(place[1], int(place[2], 16), "", before)
    return table.frame(address, given or site, before) if address else ReportFrame(None, 0, given or site)


def _spans(lines: list[str], pdbs: dict[str, ReportModule]) -> Iterator[ModuleRange]:
    for match in filter(None, map(LISTED.fullmatch, lines)):
        start, end = (int(word.replace("`", ""), 16) for word in match.group(1, 2))
        if start < end:
            name = match[3]
            yield ModuleRange(start, end, pdbs.get(name, ReportModule(f"{name}.pdb", "")), name)


def _cached(lines: list[str]) -> Iterator[ListedPdb]:
    """Yield the PDB files whose path in a symbol cache has their id."""
    for match in filter(None, map(LISTED.fullmatch, lines)):
        # Only the end of a line can match, so the expression is tried at the last three parts of the path.
        parts = match[4].rstrip().rsplit("\\", 3)
        if len(parts) == 4 and (found := CACHED.fullmatch("\\" + "\\".join(parts[1:]))):
            yield ListedPdb(match[3], ReportModule(found[1], found[2].upper()))


def _described(lines: list[str]) -> Iterator[ListedPdb]:
    """Yield the PDB files that !lmi describes."""
    name = guid = ""
    for line in lines:
        if match := LMI_NAME.fullmatch(line):
            name, guid = match[1], ""
        elif match := LMI_GUID.match(line):
            guid = match[1].replace("-", "").upper()
        elif name and guid and (match := LMI_AGE.fullmatch(line)):
            yield ListedPdb(name, ReportModule(file_name(match[2].strip()), guid + match[1].upper()))
