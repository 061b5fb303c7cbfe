"""Reports of sanitizers: AddressSanitizer, ThreadSanitizer, MemorySanitizer, LeakSanitizer, UBSan, HWASan.

    ==1==ERROR: AddressSanitizer: SEGV on unknown address 0x000000000008
        #0 0x555555555130  (/usr/bin/app+0x1130) (BuildId: 6cb9dbda...)
        #1 0x555555555171 in main /src/app.c:12:3
    Thread T1 created by T0 here:
        #0 0x7f... in pthread_create (/usr/lib/libasan.so.8+0x...)

A frame begins with `#`, its number and its address. It ends with a file and an offset in it, or with a source
file. Lines without a number end a stack, and one with a colon at its end names the next.

The runtime has subtracted one from return addresses before it prints an address or an offset
(StackTrace::Print calls GetPreviousInstructionPc), so nothing is subtracted. The offsets in a program that is
not position-independent are its addresses, from which the image base is subtracted.

Source: LLVM, compiler-rt/lib/sanitizer_common/sanitizer_stacktrace_libcdep.cpp and
sanitizer_stacktrace_printer.cpp.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Threads
from tecken.symbolication.crash_reports.places import FilePlace, parse_place
from tecken.symbolication.crash_reports.report_text import ADD_BUILD_IDS, ReportText

HEADER = re.compile(r"(?:={2,}\d{1,10}={2,})?\s*(?:ERROR|WARNING|FATAL): (\w{1,20}Sanitizer): (.*)")
UNDEFINED = ": runtime error: "
FRAME = re.compile(r"\s*#\d{1,9}\s+0x([0-9a-f]{1,16})\s+(\S.*)")
FRAME_WITHOUT_ADDRESS = re.compile(r"\s*#\d{1,9} (\S.*)")
NO_MODULES = (
    "Its frames have no modules: they have functions already, or the runtime did not find the modules. For "
    "offsets in modules run the program with `{}_OPTIONS=symbolize=0`."
)
MAX_TITLE = 200
OPTIONS = {
    "AddressSanitizer": "ASAN",
    "ThreadSanitizer": "TSAN",
    "MemorySanitizer": "MSAN",
    "LeakSanitizer": "LSAN",
}


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report of a sanitizer."""
    if "Sanitizer" not in text.raw and UNDEFINED not in text.raw:
        return None
    kind, reason = _header(text.lines)
    if not kind:
        return None
    table, threads, title, in_stack = text.table(), Threads(), "", False
    for line in text.lines:
        frame = _frame(table, line)
        if frame is None:
            in_stack = False
            if line.endswith(":"):
                title = line[:MAX_TITLE].strip(" :")
            continue
        if not in_stack:
            threads.start(title or "Stack", not threads)
            title, in_stack = "", True
        threads.add(frame)
    remedy = ADD_BUILD_IDS if table() else NO_MODULES.format(OPTIONS.get(kind, "UBSAN"))
    return ParsedReport(
        kind, table(), threads.with_frames(), reason, tuple(table.remarks), text.noted(table), remedy
    )


def _header(lines: list[str]) -> tuple[str, str]:
    for line in lines:
        if match := HEADER.match(line):
            return match[1], match[2]
        # Go has `panic: runtime error: `, without a place in a source file.
        if UNDEFINED in line and not line.startswith("panic"):
            return "UndefinedBehaviorSanitizer", line.partition(UNDEFINED)[2]
    return "", ""


def _frame(table: ModuleTable, line: str) -> ReportFrame | None:
    if match := FRAME.fullmatch(line):
        place, address = parse_place(match[2]), int(match[1], 16)
        if place is None:
            return table.frame(address, _name(match[2]))
        return _placed(table, place, address)
    # ThreadSanitizer prints no addresses.
    if (match := FRAME_WITHOUT_ADDRESS.fullmatch(line)) and not line.startswith("#"):
        place = parse_place(match[1])
        return _placed(table, place) if place else ReportFrame(None, 0, match[1])
    return None


def _placed(table: ModuleTable, place: FilePlace, address: int = 0) -> ReportFrame:
    return table.frame_in(
        place.path, place.offset, _name(place.before), build_id=place.build_id, address=address
    )


def _name(text: str) -> str:
    return text.strip().removeprefix("in ").replace("<null>", "").strip()
