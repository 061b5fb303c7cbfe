"""What debuggers print: gdb's backtraces with elfutils' list of modules, Apple's crash reports before .ips.

Sources: GDB manual, Backtraces; elfutils, eu-unstrip(1) (`-n`); Breakpad, docs/symbol_files.md (a debug id is
the first 16 bytes of a build id, read as a GUID); Apple TN2123.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from pathlib import PurePosixPath

from tecken.stacks.paste import Frame, Module, Modules, Paste, Span, Thread, before
from tecken.stacks.reports import apple_id

GDB_FRAME = re.compile(r"^#(\d+)\s+(?:(0x[0-9a-f]+) in )?(.*)$")
GDB_THREAD = re.compile(r"^Thread (\d+)\b.*:\s*$")
GDB_LIBRARY = re.compile(r"^0x[0-9a-f]+\s+0x[0-9a-f]+\s+(?:Yes|No)\b", re.MULTILINE)
ELF_MODULE = re.compile(
    r"^(0x[0-9a-f]+)\+(0x[0-9a-f]+) ([0-9a-f]{32,})@0x[0-9a-f]+ (\S+) \S+ (\S+)", re.MULTILINE
)
NO_BUILD_IDS = (
    "gdb tells no build ids. Paste what `eu-unstrip -n --pid PID` or `eu-unstrip -n --core FILE` prints, too."
)

MAC_IMAGE = re.compile(
    r"^\s*(0x[0-9a-f]+) -\s+(0x[0-9a-f]+)\s+\S.*<([0-9A-Fa-f-]{32,36})>\s+(\S.*)$", re.MULTILINE
)
MAC_THREAD = re.compile(r"^(Thread \d+)( Crashed)?:[: ]*(.*)$")
MAC_FRAME = re.compile(r"^(\d+)\s+(\S.*?)\s+(0x[0-9a-f]{8,})\s+(.*)$")
MAC_REASON = re.compile(r"^Exception Type:\s+(.*)$", re.MULTILINE)
NO_NAME = re.compile(r"0x[0-9a-f]+ \+ ")


def gdb(text: str) -> Paste | None:
    lines = text.splitlines()
    if not any(found[2] for found in map(GDB_FRAME.match, lines) if found):
        return None
    modules = Modules(_elf_spans(text))
    threads = [Thread("Backtrace", ())]
    for line in lines:
        if title := GDB_THREAD.match(line):
            threads.append(Thread(f"Thread {title[1]}", ()))
        elif found := GDB_FRAME.match(line):
            frame = _gdb_frame(modules, found)
            threads[-1] = threads[-1]._replace(frames=(*threads[-1].frames, frame))
    kind = "gdb backtrace and list of modules" if modules.spans else "gdb backtrace"
    remarks = () if modules.spans else (NO_BUILD_IDS,)
    return Paste(kind, modules(), tuple(thread for thread in threads if thread.frames), "", remarks)


def _gdb_frame(modules: Modules, found: re.Match[str]) -> Frame:
    """The innermost frame has no address when its line begins there."""
    number, address, told = found.groups()
    given = "" if told.startswith("??") else told
    return modules.frame(int(address, 16), given, before(int(number))) if address else Frame(None, 0, given)


def _elf_spans(text: str) -> Iterator[Span]:
    for start, length, build_id, file, name in ELF_MODULE.findall(text):
        first = int(start, 16)
        path = name if file in (".", "-") else file
        yield Span(first, first + int(length, 16), Module(PurePosixPath(path).name, elf_id(build_id)))


def elf_id(build_id: str) -> str:
    """The debug id of an ELF file: the start of its build id as a GUID is stored, and an age of 0."""
    return f"{uuid.UUID(bytes_le=bytes.fromhex(build_id[:32])).hex.upper()}0"


def mac(text: str) -> Paste | None:
    spans = list(_mac_spans(text))
    if not spans:
        return None
    modules = Modules(spans)
    threads: list[Thread] = []
    for line in text.splitlines():
        if title := MAC_THREAD.match(line):
            threads.append(Thread(f"{title[1]} {title[3]}".strip(), (), bool(title[2])))
        elif threads and (found := MAC_FRAME.match(line)):
            frame = _mac_frame(modules, found)
            threads[-1] = threads[-1]._replace(frames=(*threads[-1].frames, frame))
    reason = MAC_REASON.search(text)
    told = tuple(thread for thread in threads if thread.frames)
    return Paste("Apple crash report", modules(), told, reason[1] if reason else "")


def _mac_frame(modules: Modules, found: re.Match[str]) -> Frame:
    number, _image, address, told = found.groups()
    given = "" if NO_NAME.match(told) else told.partition(" + ")[0]
    return modules.frame(int(address, 16), given, before(int(number)))


def _mac_spans(text: str) -> Iterator[Span]:
    """The last address of an image is its own."""
    for start, last, identity, path in MAC_IMAGE.findall(text):
        module = Module(PurePosixPath(path).name, apple_id(identity))
        yield Span(int(start, 16), int(last, 16) + 1, module)
