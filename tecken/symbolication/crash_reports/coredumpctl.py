"""Messages of systemd-coredump: `coredumpctl info`, and the journal (`journalctl -t systemd-coredump`).

    Signal: 11 (SEGV)
    Found module /usr/bin/app with build-id: 6cb9dbda...
    Module libc.so.6 from deb glibc-2.36 with build-id 67e9247c...
    Stack trace of thread 827:
    #0  0x0000555555555130 n/a (/usr/bin/app + 0x1130)
    #1  0x0000555555555171 main (app + 0x1171)

Addresses and offsets are those to which calls return, except in the innermost frame: one is subtracted.
Before systemd 250 frames have no offset; `eu-unstrip -n` then gives the modules.

Source: systemd, src/shared/elf-util.c and src/coredump/coredump.c.
"""

from __future__ import annotations

import re

from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, Threads, bytes_before
from tecken.symbolication.crash_reports.places import parse_place
from tecken.symbolication.crash_reports.report_text import ReportText

TITLE = re.compile(r"\s*Stack trace of thread (\d{1,10}):")
FRAME = re.compile(r"\s*#(\d{1,9})\s+0x([0-9a-f]{1,16}) (\S.*)")
SIGNAL = re.compile(r"\s*Signal: (.+)")
PROCESS = re.compile(r"Process \d{1,10} \([^)]{1,100}\) of user \d{1,10} dumped core\.")
NO_NAME = "n/a"
REMEDY = (
    "Its text has no build ids. Run `coredumpctl dump -o core && eu-unstrip -n --core=core`, and paste its "
    "output below it."
)


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in a message of systemd-coredump."""
    if "Stack trace of thread " not in text.raw:
        return None
    table, threads, reason = text.table(), Threads(), ""
    for line in text.lines:
        if match := TITLE.match(line):
            threads.start(f"Thread {match[1]}", not threads)
        elif threads and (match := FRAME.fullmatch(line)):
            threads.add(_frame(table, *match.groups()))
        elif not reason and (match := SIGNAL.match(line) or PROCESS.match(line)):
            reason = match[1] if match.re is SIGNAL else match[0]
    return ParsedReport(
        "coredumpctl", table(), threads.with_frames(), reason, tuple(table.remarks), text.noted(table), REMEDY
    )


def _frame(table: ModuleTable, number: str, address: str, text: str) -> ReportFrame:
    place, before = parse_place(text, " + 0x"), bytes_before(int(number))
    given = (place.before if place else text.rpartition(" (")[0] or text).removeprefix(NO_NAME).strip()
    if place is None or place.path == NO_NAME:
        return table.frame(int(address, 16), given, before)
    return table.frame_in(place.path, place.offset, given, before)
