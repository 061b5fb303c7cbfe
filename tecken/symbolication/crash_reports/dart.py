"""Stack traces of Dart and Flutter programs without symbols (`--obfuscate`, `--split-debug-info`).

    pid: 827, tid: 828, name 1.ui
    build_id: '6cb9dbda...'
    isolate_dso_base: 555555554000, vm_dso_base: 555555554000
        #00 abs 0000555555555130 virt 0000000000001130 _kDartIsolateSnapshotInstructions+0x130
        #01 abs 0000555555555171 virt 0000000000001171 _kDartIsolateSnapshotInstructions+0x171

`virt` is the address in the ELF file whose build id the text has. All addresses are those to which calls
return: one is subtracted.

Source: Dart, runtime/vm/object.cc, StackTrace::ToCString; pkg/native_stack_traces.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.parsed_report import PER_CALLER, ParsedReport, Thread
from tecken.symbolication.crash_reports.report_text import ReportText

BUILD_ID = re.compile(r"\s*build_id: '([0-9a-f]{16,128})'")
FRAME = re.compile(r"\s*#(\d{1,9}) abs ([0-9a-f]{1,16})(?: virt ([0-9a-f]{1,16}))?(?: (.*))?")
ERROR = re.compile(r"(?:E/flutter.{0,20}: )?(?:\[ERROR:.{1,200}\] )?(Unhandled [Ee]xception.*)")
LIBRARY = "libapp.so"
REMEDY = "It has no build id. Send the whole trace, from the line with `*** ***` on."


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a stack trace of Dart."""
    if " abs " not in text.raw:
        return None
    frames = [match for match in map(FRAME.fullmatch, text.lines) if match]
    if not frames:
        return None
    found = next(filter(None, map(BUILD_ID.match, text.lines)), None)
    error = next(filter(None, map(ERROR.match, text.lines)), None)
    table, build_id = text.table(), found[1] if found else ""
    rows = [
        table.frame_in(LIBRARY, int(match[3], 16), "", PER_CALLER, build_id)
        if match[3]
        else table.frame(int(match[2], 16), match[4] or "", PER_CALLER)
        for match in frames
    ]
    return ParsedReport(
        "Dart stack trace",
        table(),
        (Thread("Stack", tuple(rows), crashed=True),),
        error[1] if error else "",
        (),
        text.noted(table),
        REMEDY,
    )
