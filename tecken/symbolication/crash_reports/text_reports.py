"""Parsers of crash reports that are lines of text: debuggers, Apple's reports, and Breakpad's stack walker.

Sources: GDB manual, Backtraces; elfutils, eu-unstrip(1) (`-n`); Apple TN2123, crash reports before .ips;
Breakpad, src/processor/stackwalk_common.cc, `-m` and human-readable, where only frames without symbols have a
module offset; for debug ids (the first 16 bytes of a build id, read as a GUID) that of
`tecken.symbols.formats`.
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
    Thread,
    Threads,
    bytes_before,
    parse_address,
)

# Debuggers and Apple's reports

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
    build_ids = tuple(match[3] for match in map(ELF_MODULE.match, lines) if match)
    threads.start("Backtrace")
    for line in lines:
        if title := GDB_THREAD.fullmatch(line):
            threads.start(f"Thread {title[1]}")
        elif match := GDB_FRAME.fullmatch(line):
            threads.add(_gdb_frame(modules, match))
    kind = "gdb backtrace and list of modules" if modules.spans else "gdb backtrace"
    remarks = () if modules.spans else (NO_BUILD_IDS,)
    return ParsedReport(kind, modules(), threads.with_frames(), "", remarks, build_ids)


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


# Breakpad's stack walker

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
