"""Crash reports of Apple's systems: .ips (JSON, since macOS 12 and iOS 15) and .crash (text).

    {"usedImages": [{"uuid": "3d3a1b2c-...", "name": "shop", "base": 4300000000}],
     "threads": [{"frames": [{"imageIndex": 0, "imageOffset": 100, "symbol": "main"}]}], "faultingThread": 0}

    Thread 0 Crashed:: Dispatch queue: com.apple.main-thread
    1   shop      0x0000000104398064 0x104394000 + 16484
    Binary Images:
        0x104394000 -  0x104397fff +shop (1.0) <3D3A1B2C-0000-1111-2222-333344445555> /Applications/shop

One is subtracted, except in the innermost frame. The end of an image in the text is its last address.

Source: Apple, Interpreting the JSON format of a crash report; TN2123, CrashReporter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from tecken.symbolication.crash_reports.json_values import Json, find_number, find_objects, find_text
from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable, apple_id, file_name
from tecken.symbolication.crash_reports.parsed_report import (
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    Threads,
    bytes_before,
)
from tecken.symbolication.crash_reports.report_text import ReportText

IMAGE = re.compile(r"\s*(0x[0-9a-f]{1,16}) - +(0x[0-9a-f]{1,16})\s+\S.*<([0-9A-Fa-f-]{32,36})>\s+(\S.*)")
THREAD = re.compile(r"(Thread \d+)( Crashed)?:[: ]*+(.*)")
# The name of an image may contain spaces; it ends before the first word that is an address. Possessive
# quantifiers (`++`) keep a line without an address from being tried at every split of its words.
ADDRESS = r"0x[0-9a-f]{8,16}"
FRAME = re.compile(rf"(\d{{1,9}})\s++(\S++(?:\s++(?!{ADDRESS}\s)\S++)*+)\s++({ADDRESS})\s++(.*)")
REASON = re.compile(r"Exception Type:[ \t]+(.*)")
NO_NAME = re.compile(r"0x[0-9a-f]+ \+ ")
REMEDY = "Its section `Binary Images:` is missing: send the whole report."


def parse_json(document: Json) -> ParsedReport | None:
    """Return the report in an .ips document."""
    images = [_image(entry) for entry in find_objects(document, "usedImages")]
    if not images:
        return None
    table, faulting = ModuleTable(), document.get("faultingThread")
    threads = tuple(
        Thread(
            f"Thread {number} {find_text(thread, 'name', 'queue')}".strip(),
            tuple(
                _json_frame(table, images, depth, frame)
                for depth, frame in enumerate(find_objects(thread, "frames"))
            ),
            number == faulting,
        )
        for number, thread in enumerate(find_objects(document, "threads"))
    )
    exception = document.get("exception")
    reason = find_text(exception, "type", "signal") if isinstance(exception, dict) else ""
    return ParsedReport("Apple crash report", table(), threads, reason)


def _image(entry: Json) -> ReportModule:
    return ReportModule(find_text(entry, "name"), apple_id(find_text(entry, "uuid")))


def _json_frame(table: ModuleTable, images: list[ReportModule], depth: int, frame: Json) -> ReportFrame:
    index, offset = frame.get("imageIndex"), find_number(frame, "imageOffset")
    if not isinstance(index, int) or offset is None or not 0 <= index < len(images):
        return ReportFrame(None, offset or 0, find_text(frame, "symbol"))
    given = find_text(frame, "symbol")
    return ReportFrame(table.number(images[index]), max(0, offset - bytes_before(depth)), given)


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a crash report in text form."""
    if "Binary Images:" not in text.raw and "Exception Type:" not in text.raw:
        return None
    table, threads, reason = ModuleTable(_spans(text.lines)), Threads(), ""
    for line in text.lines:
        if title := THREAD.fullmatch(line):
            threads.start(f"{title[1]} {title[3]}".strip(), bool(title[2]))
        elif threads and (match := FRAME.fullmatch(line)):
            threads.add(_frame(table, match))
        elif not reason and (match := REASON.match(line)):
            reason = match[1]
    if not threads.has_frames():
        return None
    return ParsedReport("Apple crash report", table(), threads.with_frames(), reason, remedy=REMEDY)


def _frame(table: ModuleTable, match: re.Match[str]) -> ReportFrame:
    number, _image, address, text = match.groups()
    given = "" if NO_NAME.match(text) else text.partition(" + ")[0]
    return table.frame(int(address, 16), given, bytes_before(int(number)))


def _spans(lines: Iterable[str]) -> Iterator[ModuleRange]:
    for match in filter(None, map(IMAGE.fullmatch, lines)):
        start, last, identity, path = match.groups()
        module = ReportModule(file_name(path), apple_id(identity))
        yield ModuleRange(int(start, 16), int(last, 16) + 1, module)
