"""Fatal errors of the Java virtual machine: hs_err_pidN.log.

    # SIGSEGV (0xb) at pc=0x00007f12345cc95d, pid=827, tid=828
    # C  [libapp.so+0x195d]  app_price+0x1d
    Native frames: (J=compiled Java code, j=interpreted, Vv=VM code, C=native code)
    C  [libapp.so+0x195d]  app_price+0x1d
    V  [libjvm.so+0x9d3c45]  JavaCalls::call_helper(...)+0x2f5
    j  Main.main([Ljava/lang/String;)V+12
    Dynamic libraries:
    7f12345cb000-7f12345cf000 r-xp 00000000 08:01 42 /opt/app/libapp.so

`C` and `V` are native frames with an offset in the library. The file has no build ids: they come from lines
that list them (`report_text`). One is subtracted from offsets, except in the innermost frame.

Source: OpenJDK, src/hotspot/share/utilities/vmError.cpp and src/hotspot/share/runtime/frame.cpp.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Thread, bytes_before
from tecken.symbolication.crash_reports.report_text import ADD_BUILD_IDS, ReportText

HEADER = "A fatal error has been detected by the Java Runtime Environment"
NATIVE = re.compile(r"([CV]) {1,4}\[([^\]+]{1,255})\+0x([0-9a-f]{1,16})\](?:  (.*))?")
JAVA = re.compile(r"([JjAv~]) {1,3}(\S.*)")
SIGNAL = re.compile(r"#\s{1,4}((?:SIG[A-Z]{2,8}|EXCEPTION_[A-Z_]{1,40}|Internal Error) .*)")
SECTION = ("Native frames:", "Java frames:")
NO_NATIVE_FRAMES = "It has no native frames, and Java frames have names already: nothing is left to look up."


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in an error file of a Java virtual machine."""
    if HEADER not in text.raw and SECTION[0] not in text.raw:
        return None
    table, in_frames, reason = text.table(), False, ""
    frames: list[ReportFrame] = []
    for line in text.lines:
        if line.startswith(SECTION):
            # Java frames repeat those of the native stack.
            in_frames = line.startswith(SECTION[0])
        elif in_frames and (match := NATIVE.fullmatch(line)):
            offset = int(match[3], 16)
            frames.append(table.frame_in(match[2], offset, match[4] or "", bytes_before(len(frames))))
        elif in_frames and (match := JAVA.fullmatch(line)):
            frames.append(ReportFrame(None, 0, match[2]))
        elif not reason and (match := SIGNAL.match(line)):
            reason = match[1]
    remedy = ADD_BUILD_IDS if table() else NO_NATIVE_FRAMES
    threads = (Thread("Current thread", tuple(frames), crashed=True),)
    return ParsedReport(
        "Java error file", table(), threads, reason, tuple(table.remarks), text.noted(table), remedy
    )
