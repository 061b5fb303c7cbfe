"""Texts that people paste and that have nothing to look up: files that are no text, and traces with names.

    MDMP...                                  a minidump
    ELF                                      a core file, or another ELF file
    goroutine 1 [running]:                   Go, which always prints functions, files and lines
    Traceback (most recent call last):       Python
       at Shop.Cart.Pay() in Cart.cs:12      .NET
        at pay (/app/cart.js:12:3)           JavaScript
    Exception in thread "main" ...           Java
    ==827==    at 0x109151: ??? (in /usr/bin/app)     Valgrind
    {"meta": {"version": 27}, "libs": [...]}          a profile of the Firefox Profiler

Sources: Microsoft, MINIDUMP_HEADER; gABI, ELF header; Go, runtime/traceback.go; Valgrind User Manual.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from tecken.symbolication.crash_reports.json_values import Json
from tecken.symbolication.crash_reports.parsed_report import ParsedReport
from tecken.symbolication.crash_reports.report_text import ReportText
from tecken.symbolication.minidump.signature import HEAD_BYTES, is_core


class OtherText(NamedTuple):
    """Kind of text with nothing to look up, the test of a line of it, and the next step."""

    kind: str
    is_line: Callable[[str], object]
    remedy: str


# The first bytes of files, as they are after decoding: bytes that are no UTF-8 are U+FFFD.
FILES = {
    "MDMP": (
        "minidump",
        "Send the file itself: drop it on the page /symbolicate/, run `tecken-symbolicate FILE.dmp`, or POST "
        "it to /process/minidump.",
    ),
    "\x7fELF": (
        "ELF file",
        "Send the text of a crash report, or a core file. Upload programs with tecken-upload.",
    ),
    "PERFILE2": (
        "perf.data file",
        "Run `(perf script --show-mmap-events; perf buildid-list) > perf.txt`, and send that file.",
    ),
    "PK\x03\x04": ("zip archive", "Unpack it, and send the crash report in it."),
    "\x1f\ufffd": ("gzip file", "Unpack it, or send it with the header `Content-Encoding: gzip`."),
    "(\ufffd/\ufffd": ("zstd file", "Unpack it, or send it with the header `Content-Encoding: zstd`."),
    "MZ\ufffd": ("Windows program", "Send the text of a crash report. Upload programs with tecken-upload."),
    "Microsoft C/C++": ("PDB file", "Send the text of a crash report. Upload PDB files with tecken-upload."),
    "PAGEDU": ("Windows memory dump", "Open it in WinDbg, and send what `!analyze -v; lm` prints."),
}
CORE_REMEDY = (
    "Send the file itself: drop it on the page /symbolicate/, run `tecken-symbolicate CORE`, or POST it to "
    "/process/minidump. If it is too large, run `gdb -batch -ex 'thread apply all bt' PROGRAM CORE; "
    "eu-unstrip -n --core=CORE`, and send the output."
)
HAS_NAMES = "Its frames have functions, files and lines already: nothing is left to look up."
GOROUTINE = re.compile(r"goroutine \d{1,12} (?:gp=\S{1,20} m=\S{1,20} (?:mp=\S{1,20} )?)?\[[^\]]{1,100}\]:")
JAVA_CAUSE = re.compile(r"Caused by: [\w.$]{1,200}: .*")
SCRIPT_PLACE = re.compile(r"[^\s()]{1,1000}:\d{1,9}:\d{1,9}\)?")
VALGRIND = re.compile(r"==\d{1,10}== {3,6}(?:at|by) 0x[0-9A-F]{1,16}: .+")


def _is_java(line: str) -> bool:
    return line.startswith('Exception in thread "') or bool(JAVA_CAUSE.fullmatch(line))


def _is_dotnet(line: str) -> bool:
    return line.startswith("   at ") and ") in " in line and ":line " in line


def _is_script(line: str) -> bool:
    place = line.strip().rpartition(" ")[2].removeprefix("(")
    return line.startswith("    at ") and bool(SCRIPT_PLACE.fullmatch(place))


SHORTEST_LINE = len("    at a.js:1:1")
KINDS = (
    OtherText(
        "Go traceback",
        GOROUTINE.fullmatch,
        f"{HAS_NAMES} For the C frames of cgo run the program with `GOTRACEBACK=crash`, and send what "
        "`coredumpctl info` prints.",
    ),
    OtherText("Python traceback", "Traceback (most recent call last):".__eq__, HAS_NAMES),
    OtherText("Java exception", _is_java, HAS_NAMES),
    OtherText(".NET stack trace", _is_dotnet, HAS_NAMES),
    OtherText(
        "JavaScript stack trace",
        _is_script,
        f"{HAS_NAMES} Names of minified code come from its source map.",
    ),
    OtherText(
        "Valgrind report",
        VALGRIND.fullmatch,
        "Valgrind prints no modules: it reads symbols itself. Run it with `DEBUGINFOD_URLS` set to the "
        "address of this site.",
    ),
)
PROFILE_REMEDY = (
    "Open it at profiler.firefox.com with `?symbolServer=` and the address of this site: the profiler "
    "symbolicates it."
)


def parse_file(text: str) -> ParsedReport | None:
    """Return a report without frames for a file that is no text."""
    # All bytes before the type of an ELF file are ASCII.
    if is_core(text[:HEAD_BYTES].encode()):
        return ParsedReport("core file", (), (), remedy=CORE_REMEDY)
    for start, (kind, remedy) in FILES.items():
        if text.startswith(start):
            return ParsedReport(kind, (), (), remedy=remedy)
    return None


def parse(text: ReportText) -> ParsedReport | None:
    """Return a report without frames for a trace that has names already."""
    for line in text.lines:
        if len(line) < SHORTEST_LINE:
            continue
        for other in KINDS:
            if other.is_line(line):
                return ParsedReport(other.kind, (), (), remedy=other.remedy)
    return None


def parse_json(document: Json) -> ParsedReport | None:
    """Return a report without frames for a profile of the Firefox Profiler."""
    if isinstance(document.get("meta"), dict) and "libs" in document and "threads" in document:
        return ParsedReport("profile of the Firefox Profiler", (), (), remedy=PROFILE_REMEDY)
    return None
