"""Tombstones and logs of Android: debuggerd, logcat, ndk-stack, ANR traces, Google Play.

    pid: 827, tid: 828, name: worker  >>> com.example.app <<<
    signal 11 (SIGSEGV), code 1 (SEGV_MAPERR), fault addr 0x8
    backtrace:
      #00 pc 0000000000001130  /data/app/com.example/lib/x86_64/libapp.so (BuildId: 6cb9dbda...)
      #01 pc 0000000000001171  /data/app/base.apk!libapp.so (offset 0x2000) (main+33) (BuildId: ...)
      native: #02 pc 0000000000027249  /apex/com.android.runtime/lib64/bionic/libc.so (__libc_init+96)

The address is that in the ELF file, also of a library in an APK. libunwindstack has subtracted the size of
the call from it (Unwinder::FillInFrame), so nothing is subtracted. `--- ---` stands between threads.

Source: Android, system/core/debuggerd/libdebuggerd/tombstone.cpp and system/unwinding/libunwindstack.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Threads
from tecken.symbolication.crash_reports.places import split_build_id
from tecken.symbolication.crash_reports.report_text import ADD_BUILD_IDS, ReportText

FRAME = re.compile(r"\s*(?:native: )?#(\d{1,9}) {1,4}pc (?:0x)?([0-9a-f]{1,16}) {1,4}(\S.*)")
THREAD = re.compile(r"\s*pid: \d{1,9}, tid: (\d{1,9}), name: (.*)")
ANR_THREAD = re.compile(r'"([^"]{1,100})" .*\btid=.*')
SIGNAL = re.compile(r"\s*(signal \d{1,3} \(.*)")


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a tombstone or log."""
    if " pc " not in text.raw:
        return None
    table, threads, reason, crashed = text.table(), Threads(), "", True
    for line in text.lines:
        if match := FRAME.fullmatch(line):
            if not threads:
                threads.start("Backtrace", crashed)
            threads.add(_frame(table, match[2], match[3]))
        elif match := THREAD.match(line):
            threads.start(f"Thread {match[1]} {match[2].partition('  >>>')[0]}".strip(), not threads)
        elif match := ANR_THREAD.fullmatch(line):
            threads.start(match[1])
        elif not reason and (match := SIGNAL.match(line)):
            reason = match[1]
    if not threads.has_frames():
        return None
    return ParsedReport(
        "Android tombstone",
        table(),
        threads.with_frames(),
        reason,
        tuple(table.remarks),
        text.noted(table),
        ADD_BUILD_IDS,
    )


def _frame(table: ModuleTable, digits: str, text: str) -> ReportFrame:
    place, build_id = split_build_id(text)
    path, _space, rest = place.partition(" (")
    # `(offset 0x2000)` is the place of the library in the APK, the last parenthesis has the function.
    function = rest.rpartition("(")[2].removesuffix(")")
    given = "" if function.startswith("offset ") else function
    if path.startswith("<"):
        return ReportFrame(None, int(digits, 16), given or path)
    return table.frame_in(path, int(digits, 16), given, build_id=build_id)
