"""Recognition of crash reports, and the parser of lists of module, id and offset.

A line of a list is `xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2+0x1f4a`, the same with spaces, commas or bars,
or `xul.pdb+0x1f4a` if another line has the id: `xul.pdb 44E4EC8C2F41492B9369D6B9A059577C2`. The id may be a
build id. Lines of glibc's backtrace_symbols(3), `./app(+0x1200)[0x55d0c8d5c200]`, need such a line as well.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.crash_reports import json_reports, text_reports
from tecken.symbolication.crash_reports.parsed_report import (
    PER_CALLER,
    ModuleTable,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
)

NAME, BETWEEN = r"([^\s|/,+]+)", r"[\s|/,]+"
ID = r"\{?([0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?-?[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{9,40})"
OFFSET = r"(0[xX][0-9A-Fa-f]{1,16})"
NUMBER = r"\s*(?:#?\d{1,9}[:.)]?\s+)?"
WHOLE = re.compile(rf"{NUMBER}{NAME}{BETWEEN}{ID}[\s|,+:]+{OFFSET}\s*")
NAMED = re.compile(rf"{NUMBER}{NAME}\s*\+\s*{OFFSET}\s*")
# All addresses are those to which calls return. With the name of a function before the plus, the offset is
# not one into the module.
GLIBC = re.compile(r"([^\s(]{1,4096})\(\+(0x[0-9a-f]{1,16})\) ?\[0x[0-9a-f]{1,16}\]\s*")
BUILD_ID_DIGITS = 40
DECLARED = re.compile(rf"\s*{NAME}{BETWEEN}{ID}\s*")


def offset_list(text: str) -> ParsedReport | None:
    """Return the report in a list of modules and offsets."""
    lines = [line for line in text.splitlines() if line.strip()]
    ids = {match[1]: _debug_id(match[2]) for match in map(DECLARED.fullmatch, lines) if match}
    modules = ModuleTable()
    frames = tuple(_frames(lines, ids, modules))
    if not modules():
        return None
    missing = sorted({module.debug_file for module in modules() if not module.debug_id})
    remarks = (
        (f"No debug id for {', '.join(missing)}: write it once, as `{missing[0]} ID`.",) if missing else ()
    )
    return ParsedReport("list of modules and offsets", modules(), (Thread("Frames", frames),), "", remarks)


def _frames(lines: list[str], ids: dict[str, str], modules: ModuleTable) -> Iterator[ReportFrame]:
    for line in lines:
        if match := WHOLE.fullmatch(line):
            yield ReportFrame(modules.number(ReportModule(match[1], _debug_id(match[2]))), int(match[3], 16))
        elif match := NAMED.fullmatch(line):
            yield ReportFrame(_number(modules, match[1], ids), int(match[2], 16))
        elif match := GLIBC.fullmatch(line):
            offset = max(0, int(match[2], 16) - PER_CALLER)
            yield ReportFrame(_number(modules, match[1].rpartition("/")[2], ids), offset)
        elif not DECLARED.fullmatch(line):
            yield ReportFrame(None, 0, line.strip())


def _number(modules: ModuleTable, name: str, ids: dict[str, str]) -> int:
    return modules.number(ReportModule(name, ids.get(name, "")))


def _debug_id(text: str) -> str:
    """Return the debug id in any of its spellings, also for a build id of 20 bytes."""
    digits = re.sub(r"[^0-9A-Fa-f]", "", text).upper()
    if len(digits) == BUILD_ID_DIGITS:
        return text_reports.elf_id(digits)
    # A GUID without an age; the age is nearly always 0.
    return f"{digits}0" if len(digits) == 32 else digits


# In this order: the list comes last, because it accepts almost every line.
PARSERS: tuple[Callable[[str], ParsedReport | None], ...] = (
    json_reports.report,
    text_reports.machine,
    text_reports.human,
    text_reports.mac,
    text_reports.gdb,
    offset_list,
)
KNOWN = (
    "a symbolication request (v4 or v5), what minidump_stackwalk prints (also with -m or --json), "
    "a Socorro or Firefox crash as JSON, an Apple crash report, a gdb backtrace with `eu-unstrip -n`, "
    "glibc's backtrace with a line of `module build-id`, or lines of `module id +0xoffset`"
)


def parse_report(text: str, most_frames: int) -> ParsedReport:
    """Return the report in a text of any known kind.

    Raises:
        InvalidInput: It is no known kind of report.
        TooLarge: It has more frames than `most_frames`.
    """
    for parse in PARSERS:
        report = parse(text)
        if report and any(
            frame.module is not None or frame.given for thread in report.threads for frame in thread.frames
        ):
            frames = sum(len(thread.frames) for thread in report.threads)
            if frames > most_frames:
                raise TooLarge(f"Too many frames: {frames}, at most {most_frames} at a time")
            return report
    raise InvalidInput(f"No stack found in this text. It can be {KNOWN}.")
