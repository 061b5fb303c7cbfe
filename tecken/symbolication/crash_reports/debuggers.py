"""What debuggers print: gdb's backtraces with elfutils' list of modules, Apple's crash reports before .ips.

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
    Frame,
    Module,
    Modules,
    Paste,
    Span,
    Threads,
    before,
)

# Each is matched against one line. Numbers have as many digits as they can need: int() refuses thousands.
GDB_FRAME = re.compile(r"#(\d{1,9})\s+(?:(0x[0-9a-f]{1,16}) in )?(.*)")
GDB_THREAD = re.compile(r"Thread (\d+)\b.*:")
ELF_MODULE = re.compile(r"(0x[0-9a-f]{1,16})\+(0x[0-9a-f]{1,16}) ([0-9a-f]{32,})@0x[0-9a-f]+ (\S+) \S+ (\S+)")
NO_BUILD_IDS = (
    "gdb tells no build ids. Paste what `eu-unstrip -n --pid PID` or `eu-unstrip -n --core FILE` prints, too."
)

MAC_IMAGE = re.compile(r"\s*(0x[0-9a-f]{1,16}) - +(0x[0-9a-f]{1,16})\s+\S.*<([0-9A-Fa-f-]{32,36})>\s+(\S.*)")
MAC_THREAD = re.compile(r"(Thread \d+)( Crashed)?:[: ]*+(.*)")
# The name of an image may have spaces; it ends before the first word that is an address.
ADDRESS = r"0x[0-9a-f]{8,16}"
MAC_FRAME = re.compile(rf"(\d{{1,9}})\s++(\S++(?:\s++(?!{ADDRESS}\s)\S++)*+)\s++({ADDRESS})\s++(.*)")
MAC_REASON = re.compile(r"^Exception Type:[ \t]+(.*)$", re.MULTILINE)
NO_NAME = re.compile(r"0x[0-9a-f]+ \+ ")


def gdb(text: str) -> Paste | None:
    if "#" not in text:
        return None
    lines = [line.rstrip() for line in text.splitlines()]
    if not any(found[2] for found in map(GDB_FRAME.fullmatch, lines) if found):
        return None
    modules, threads = Modules(_elf_spans(lines)), Threads()
    threads.start("Backtrace")
    for line in lines:
        if title := GDB_THREAD.fullmatch(line):
            threads.start(f"Thread {title[1]}")
        elif found := GDB_FRAME.fullmatch(line):
            threads.add(_gdb_frame(modules, found))
    kind = "gdb backtrace and list of modules" if modules.spans else "gdb backtrace"
    remarks = () if modules.spans else (NO_BUILD_IDS,)
    return Paste(kind, modules(), threads.with_frames(), "", remarks)


def _gdb_frame(modules: Modules, found: re.Match[str]) -> Frame:
    """The innermost frame has no address when its line begins there."""
    number, address, told = found.groups()
    given = "" if told.startswith("??") else told
    return modules.frame(int(address, 16), given, before(int(number))) if address else Frame(None, 0, given)


def _elf_spans(lines: Iterable[str]) -> Iterator[Span]:
    for found in filter(None, map(ELF_MODULE.match, lines)):
        start, length, build_id, file, name = found.groups()
        first = int(start, 16)
        path = name if file in (".", "-") else file
        yield Span(first, first + int(length, 16), Module(PurePosixPath(path).name, elf_id(build_id)))


def elf_id(build_id: str) -> str:
    """The debug id of an ELF file: the start of its build id as a GUID is stored, and an age of 0."""
    return f"{uuid.UUID(bytes_le=bytes.fromhex(build_id[:32])).hex.upper()}0"


def mac(text: str) -> Paste | None:
    if " - " not in text:
        return None
    lines = [line.rstrip() for line in text.splitlines()]
    spans = list(_mac_spans(lines))
    if not spans:
        return None
    modules, threads = Modules(spans), Threads()
    for line in lines:
        if title := MAC_THREAD.fullmatch(line):
            threads.start(f"{title[1]} {title[3]}".strip(), bool(title[2]))
        elif threads and (found := MAC_FRAME.fullmatch(line)):
            threads.add(_mac_frame(modules, found))
    reason = MAC_REASON.search(text)
    named = threads.with_frames()
    return Paste("Apple crash report", modules(), named, reason[1].rstrip() if reason else "")


def _mac_frame(modules: Modules, found: re.Match[str]) -> Frame:
    number, _image, address, told = found.groups()
    given = "" if NO_NAME.match(told) else told.partition(" + ")[0]
    return modules.frame(int(address, 16), given, before(int(number)))


def _mac_spans(lines: Iterable[str]) -> Iterator[Span]:
    """Yield the images; the last address that the text gives is still the image's own."""
    for found in filter(None, map(MAC_IMAGE.fullmatch, lines)):
        start, last, identity, path = found.groups()
        module = Module(PurePosixPath(path).name, apple_id(identity))
        yield Span(int(start, 16), int(last, 16) + 1, module)
