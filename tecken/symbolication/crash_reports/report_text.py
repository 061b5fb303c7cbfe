"""Text of a crash report: its lines without what logs add, and the modules that it lists in any form.

Modules and ids can be listed anywhere in the text, whatever the kind of the stacks, one in a line:

    0x400000+0x5000 6cb9dbda...@0x4002a8 /usr/bin/app - [exe]     eu-unstrip -n: start, size, build id, file
    555555554000-555555558000 r--p 00000000 08:01 42 /usr/bin/app /proc/PID/maps, Java, glibc
    0x555555554000 0x555555558000 0x4000 0x0 r--p /usr/bin/app    gdb, info proc mappings
    Module /usr/bin/app with build-id 6cb9dbda...                 systemd-coredump
    6cb9dbda... /usr/bin/app                                      perf buildid-list
    /usr/bin/app: ELF 64-bit ..., BuildID[sha1]=6cb9dbda..., ...  file
    app 6cb9dbda...                                               a name and a build id or debug id

Sources: elfutils, eu-unstrip(1); proc_pid_maps(5); GDB manual, Process Information; systemd,
src/coredump/coredump.c; perf-buildid-list(1); file(1).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cached_property

from tecken.symbolication.crash_reports.module_table import (
    ModuleRange,
    ModuleTable,
    elf_id,
    file_name,
    is_build_id,
    module_id,
)
from tecken.symbolication.crash_reports.parsed_report import ReportModule

ADD_BUILD_IDS = (
    "It has no build ids. Run `file -L FILE` for each of its modules, and paste the output below it."
)

# Colours of terminals.
ESCAPE = re.compile(r"\x1b\[[0-9;]{0,20}m")
TIME = r"\d{1,2}:\d{2}:\d{2}(?:[.,]\d{1,9})?"
# What logs put before each line: Android's logcat (two forms), the journal and syslog, ISO times of
# containers and CI, the kernel's ring buffer.
LOGGED = re.compile(
    rf"(?:\d\d-\d\d {TIME} {{1,4}}\d{{1,7}} {{1,4}}\d{{1,7}} [VDIWEF] [^\s:]{{1,40}} {{0,20}}: "
    rf"|(?:\d\d-\d\d {TIME} )?[VDIWEF]/[^\s(:]{{1,40}} {{0,20}}\( {{0,6}}\d{{1,7}}\): "
    rf"|[A-Z][a-z]{{2}} [ \d]\d {TIME} [^\s:]{{1,64}} [^\s:]{{1,64}}: "
    rf"|\d{{4}}-\d\d-\d\d[T ]{TIME}(?:Z|[+-]\d\d:?\d\d)? (?:[^\s:]{{1,64}} [^\s:]{{1,64}}: )?)"
)
RING_BUFFER = re.compile(r"\[ {0,8}\d{1,9}\.\d{1,9}\] ")

UNSTRIP = re.compile(r"(0x[0-9a-f]{1,16})\+(0x[0-9a-f]{1,16}) ([0-9a-f]{2,128})(?:@0x[0-9a-f]{1,16})? (.+)")
MAPPING = re.compile(
    r"([0-9a-f]{4,16})-([0-9a-f]{4,16}) [r-][w-][x-][ps] ([0-9a-f]{1,16}) [0-9a-f]{2,8}:[0-9a-f]{2,8}"
    r" \d{1,20}\s+(\S.*)"
)
GDB_MAPPING = re.compile(
    r"(0x[0-9a-f]{4,16})\s+(0x[0-9a-f]{4,16})\s+0x[0-9a-f]{1,16}\s+(0x[0-9a-f]{1,16})\s+"
    r"(?:[r-][w-][x-][ps]\s+)?([/\[].*)"
)
BUILT = re.compile(r"(?:Found m|M)odule (.+)")
WITH_BUILD_ID = (" with build-id: ", " with build-id ")
PERF_ID = re.compile(r"([0-9a-f]{40}) (\S.*)")
FILE_ID = re.compile(r"BuildID\[[a-z0-9/]{1,16}\]=([0-9a-f]{16,128})")
NAME, BETWEEN = r"([^\s|/,]+)", r"[\s|/,]+"
ID = r"\{?([0-9A-Fa-f]{8}-?(?:[0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}\}?-?[0-9A-Fa-f]{0,8}|[0-9A-Fa-f]{9,128})"
# Characters of the shortest lines that list something. Most lines of a text of many short ones are none.
SHORTEST_DECLARED, SHORTEST_MAPPED = len("a 123456789"), len("0x1+0x1 1234567890123456 - - a")
DECLARED = re.compile(rf"\s*{NAME}{BETWEEN}{ID}\s*")


class ReportText:
    """Text of a report."""

    def __init__(self, raw: str) -> None:
        self.raw = raw

    @cached_property
    def lines(self) -> list[str]:
        """Lines without colours, prefixes of logs, and white space at their ends."""
        return [_strip(line) for line in self.raw.splitlines()]

    @cached_property
    def build_ids(self) -> dict[str, str]:
        """Build ids by the names of files."""
        return _unique(_build_ids(line for line in self.lines if len(line) >= SHORTEST_DECLARED))

    @cached_property
    def ids(self) -> dict[str, ReportModule]:
        """Modules by their names."""
        declared = {
            match[1]: ReportModule(match[1], module_id(match[2], match[1]))
            for line in self.lines
            if len(line) >= SHORTEST_DECLARED and (match := DECLARED.fullmatch(line))
        }
        found = {name: ReportModule(name, elf_id(build_id)) for name, build_id in self.build_ids.items()}
        return {**declared, **found}

    @cached_property
    def spans(self) -> list[ModuleRange]:
        """Address ranges of modules."""
        lines = [line for line in self.lines if len(line) >= SHORTEST_MAPPED]
        unstripped = list(_unstripped(lines))
        return unstripped or [
            ModuleRange(start, end, self.ids.get(name, ReportModule(name, "")))
            for start, end, name in _mapped(lines)
        ]

    def table(self, spans: Iterable[ModuleRange] = ()) -> ModuleTable:
        """Return a table of the listed modules, and of those in other forms."""
        return ModuleTable([*spans, *self.spans], self.ids)

    def noted(self, table: ModuleTable) -> tuple[str, ...]:
        """Return the whole build ids in the lists of the text and in frames."""
        return tuple(dict.fromkeys((*self.build_ids.values(), *table.build_ids)))


def _strip(line: str) -> str:
    if "\x1b" in line:
        line = ESCAPE.sub("", line)
    if match := LOGGED.match(line):
        line = line[match.end() :]
    if match := RING_BUFFER.match(line):
        line = line[match.end() :]
    return line.rstrip()


def _build_ids(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in map(str.strip, lines):
        if match := UNSTRIP.fullmatch(line):
            if elf_id(match[3]):
                yield file_name(_unstripped_file(match[4])), match[3]
        elif match := PERF_ID.fullmatch(line):
            yield file_name(match[2]), match[1]
        elif match := BUILT.fullmatch(line):
            yield from _systemd(match[1])
        elif "BuildID[" in line and (found := FILE_ID.search(line)):
            yield file_name(line.partition(": ")[0]), found[1]
        elif (match := DECLARED.fullmatch(line)) and is_build_id(match[2]):
            yield match[1], match[2].lower()


def _unique(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Return the names with one id; a name with several could give the functions of another file."""
    found: dict[str, set[str]] = {}
    for name, build_id in pairs:
        found.setdefault(name, set()).add(build_id.lower())
    return {name: ids.pop() for name, ids in found.items() if len(ids) == 1}


def _systemd(text: str) -> Iterator[tuple[str, str]]:
    for words in WITH_BUILD_ID:
        path, found, build_id = text.rpartition(words)
        if found:
            # The name of a package can follow that of the file: `Module app (deb) from deb app-1.0.amd64`.
            if elf_id(build_id.strip()):
                yield file_name(path.partition(" from ")[0]), build_id.strip()
            return


def _unstripped(lines: Iterable[str]) -> Iterator[ModuleRange]:
    for match in filter(None, map(UNSTRIP.match, lines)):
        start, length, build_id, files = match.groups()
        first, name = int(start, 16), file_name(_unstripped_file(files))
        if elf_id(build_id):
            yield ModuleRange(first, first + int(length, 16), ReportModule(name, elf_id(build_id)))


def _unstripped_file(text: str) -> str:
    """Return the file in `FILE DEBUGFILE NAME`. Each of the three may contain spaces.

    `.` is the file in memory, `-` no file. A debug file that is neither has an absolute path.
    """
    if text.startswith((". ", "- ")):
        # Then the debug file is `.` or `-`, too, and the name is all that is left.
        return text[2:].partition(" ")[2]
    ends = [at for mark in (" - ", " . ", " /") if (at := text.find(mark)) > 0]
    return text[: min(ends)] if ends else text.partition(" ")[0]


def _mapped(lines: Iterable[str]) -> Iterator[tuple[int, int, str]]:
    """Yield start, end and name of each mapped file. Its start is that of the mapping, less its offset."""
    ranges: dict[str, tuple[int, int]] = {}
    for line in lines:
        match = MAPPING.fullmatch(line.strip()) or GDB_MAPPING.fullmatch(line.strip())
        if not match:
            continue
        first, last, offset = (int(digits, 16) for digits in match.group(1, 2, 3))
        name = file_name(match[4])
        # The first mapping of a file tells its start: later ones can have a gap before them.
        start, end = ranges.get(name, (max(0, first - offset), last))
        ranges[name] = start, max(end, last)
    for name, (start, end) in ranges.items():
        yield start, end, name
