"""Parsers of gdb backtraces with elfutils' list of modules, and of Apple's crash reports before .ips.

Sources: GDB manual, Backtraces; elfutils, eu-unstrip(1) (`-n`); Apple TN2123; for debug ids (the first 16
bytes of a build id, read as a GUID) that of `tecken.symbols.formats`.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from tecken.symbolication.crash_reports.json_reports import apple_id
from tecken.symbolication.crash_reports.parsed_report import (
    ModuleRange,
    ModuleTable,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Threads,
    bytes_before,
)

# Each expression is matched against one line. The number of digits is bounded, because int() raises
# ValueError for thousands of digits.
GDB_FRAME = re.compile(r"#(\d{1,9})\s+(?:(0x[0-9a-f]{1,16}) in )?(.*)")
GDB_THREAD = re.compile(r"Thread (\d+)\b.*:")
ELF_MODULE = re.compile(r"(0x[0-9a-f]{1,16})\+(0x[0-9a-f]{1,16}) ([0-9a-f]{32,})@0x[0-9a-f]+ (\S+) \S+ (\S+)")
NO_BUILD_IDS = (
    "gdb tells no build ids. Paste what `eu-unstrip -n --pid PID` or `eu-unstrip -n --core FILE` prints, too."
)

MAC_IMAGE = re.compile(r"\s*(0x[0-9a-f]{1,16}) - +(0x[0-9a-f]{1,16})\s+\S.*<([0-9A-Fa-f-]{32,36})>\s+(\S.*)")
MAC_THREAD = re.compile(r"(Thread \d+)( Crashed)?:[: ]*+(.*)")
# The name of an image may contain spaces; it ends before the first word that is an address. Possessive
# quantifiers (`++`) keep a line without an address from being tried at every split of its words.
ADDRESS = r"0x[0-9a-f]{8,16}"
MAC_FRAME = re.compile(rf"(\d{{1,9}})\s++(\S++(?:\s++(?!{ADDRESS}\s)\S++)*+)\s++({ADDRESS})\s++(.*)")
MAC_REASON = re.compile(r"^Exception Type:[ \t]+(.*)$", re.MULTILINE)
NO_NAME = re.compile(r"0x[0-9a-f]+ \+ ")


def gdb(text: str) -> ParsedReport | None:
    """Return the report in a gdb backtrace, with or without eu-unstrip's list of modules."""
    if "#" not in text:
        return None
    lines = [line.rstrip() for line in text.splitlines()]
    if not any(match[2] for match in map(GDB_FRAME.fullmatch, lines) if match):
        return None
    modules, threads = ModuleTable(_elf_spans(lines)), Threads()
    threads.start("Backtrace")
    for line in lines:
        if title := GDB_THREAD.fullmatch(line):
            threads.start(f"Thread {title[1]}")
        elif match := GDB_FRAME.fullmatch(line):
            threads.add(_gdb_frame(modules, match))
    kind = "gdb backtrace and list of modules" if modules.spans else "gdb backtrace"
    remarks = () if modules.spans else (NO_BUILD_IDS,)
    return ParsedReport(kind, modules(), threads.with_frames(), "", remarks)


def _gdb_frame(modules: ModuleTable, match: re.Match[str]) -> ReportFrame:
    number, address, text = match.groups()
    given = "" if text.startswith("??") else text
    # gdb leaves the innermost frame's address out when it is the first of its source line.
    if not address:
        return ReportFrame(None, 0, given)
    return modules.frame(int(address, 16), given, bytes_before(int(number)))


def _elf_spans(lines: Iterable[str]) -> Iterator[ModuleRange]:
    for match in filter(None, map(ELF_MODULE.match, lines)):
        start, length, build_id, file, name = match.groups()
        first = int(start, 16)
        # `.` is the file in memory, `-` no file (eu-unstrip(1)).
        path = name if file in (".", "-") else file
        yield ModuleRange(
            first, first + int(length, 16), ReportModule(PurePosixPath(path).name, elf_id(build_id))
        )


def elf_id(build_id: str) -> str:
    """Return the debug id of an ELF file: the first 16 bytes of its build id as a GUID, and an age of 0."""
    return f"{uuid.UUID(bytes_le=bytes.fromhex(build_id[:32])).hex.upper()}0"


def mac(text: str) -> ParsedReport | None:
    """Return the report in an Apple crash report in text form."""
    if " - " not in text:
        return None
    lines = [line.rstrip() for line in text.splitlines()]
    spans = list(_mac_spans(lines))
    if not spans:
        return None
    modules, threads = ModuleTable(spans), Threads()
    for line in lines:
        if title := MAC_THREAD.fullmatch(line):
            threads.start(f"{title[1]} {title[3]}".strip(), bool(title[2]))
        elif threads and (match := MAC_FRAME.fullmatch(line)):
            threads.add(_mac_frame(modules, match))
    reason = MAC_REASON.search(text)
    return ParsedReport(
        "Apple crash report", modules(), threads.with_frames(), reason[1].rstrip() if reason else ""
    )


def _mac_frame(modules: ModuleTable, match: re.Match[str]) -> ReportFrame:
    number, _image, address, text = match.groups()
    given = "" if NO_NAME.match(text) else text.partition(" + ")[0]
    return modules.frame(int(address, 16), given, bytes_before(int(number)))


def _mac_spans(lines: Iterable[str]) -> Iterator[ModuleRange]:
    """Yield the images. The end in the text is the image's last address, not the first one after it."""
    for match in filter(None, map(MAC_IMAGE.fullmatch, lines)):
        start, last, identity, path = match.groups()
        module = ReportModule(PurePosixPath(path).name, apple_id(identity))
        yield ModuleRange(int(start, 16), int(last, 16) + 1, module)
