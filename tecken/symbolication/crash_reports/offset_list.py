"""Lists of modules and offsets, as programs of one's own print them.

    xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2+0x1f4a       or with spaces, commas, bars, and a number before
    xul.pdb+0x1f4a                                         if another line has the id:
    xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2
    [libfoo.so+0x1234]                                     the same in brackets

The id may be a build id. Offsets are those to look up: nothing is subtracted. Names may contain `+`, as
libstdc++.so.6 does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.module_table import ModuleTable, file_name, module_id
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, ReportModule, Thread
from tecken.symbolication.crash_reports.report_text import BETWEEN, DECLARED, ID, NAME, ReportText

OFFSET = r"(0[xX][0-9A-Fa-f]{1,16})"
NUMBER = r"\s*(?:#?\d{1,9}[:.)]?\s+)?"
WHOLE = re.compile(rf"{NUMBER}{NAME}{BETWEEN}{ID}[\s|,+:]+{OFFSET}\s*")
NUMBERED = re.compile(r"#?\d{1,9}[:.)]?\s+")
HEX_OFFSET = re.compile(r"0[xX][0-9A-Fa-f]{1,16}")
REMEDY = "Add a line with the name and the id of each module. `tecken-upload check FILE` prints the id."


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a list of modules and offsets."""
    if "0x" not in text.raw and "0X" not in text.raw:
        return None
    table = ModuleTable(ids=text.ids)
    frames = tuple(_frames(text, table))
    if not table():
        return None
    return ParsedReport(
        "list of modules and offsets",
        table(),
        (Thread("Frames", frames),),
        build_ids=text.noted(table),
        remedy=REMEDY,
    )


def _frames(text: ReportText, table: ModuleTable) -> Iterator[ReportFrame]:
    for line in filter(None, text.lines):
        if match := WHOLE.fullmatch(line):
            module = ReportModule(match[1], module_id(match[2], match[1]))
            yield ReportFrame(table.number(module), int(match[3], 16))
        elif place := _named(line):
            yield table.frame_in(*place)
        elif not DECLARED.fullmatch(line):
            yield ReportFrame(None, 0, line.strip())


def _named(line: str) -> tuple[str, int] | None:
    """Return the name and the offset of `name+0x10`, in brackets or not."""
    text = line.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    if match := NUMBERED.match(text):
        text = text[match.end() :]
    name, plus, offset = text.rpartition("+")
    name, offset = file_name(name.rstrip()), offset.lstrip()
    if (
        not plus
        or not name
        or not HEX_OFFSET.fullmatch(offset)
        or any(c.isspace() or c in "|,!(" for c in name)
    ):
        return None
    return name, int(offset, 16)
