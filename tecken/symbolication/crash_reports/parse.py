"""Recognition of crash reports: each kind of text is tried in turn.

A text that can be symbolicated is preferred to one of a known kind that cannot. The latter is rejected with
its kind, and with the command that gives the missing part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tecken.errors import InvalidInput, TooLarge
from tecken.symbolication.crash_reports import (
    android,
    apple,
    coredumpctl,
    dart,
    firefox,
    gdb,
    glibc,
    java,
    kernel,
    lldb,
    markup,
    offset_list,
    other_texts,
    perf,
    processed_crash,
    rust,
    sanitizers,
    sentry,
    stack_dumps,
    stackwalk,
    symbolication_request,
    windbg,
    wine,
)
from tecken.symbolication.crash_reports.json_values import Json, find_documents
from tecken.symbolication.crash_reports.parsed_report import NotSymbolicatable, ParsedReport
from tecken.symbolication.crash_reports.report_text import ReportText

JSON_PARSERS: tuple[Callable[[Json], ParsedReport | None], ...] = (
    symbolication_request.parse,
    processed_crash.parse,
    firefox.parse,
    apple.parse_json,
    sentry.parse,
    other_texts.parse_json,
)
# In this order: kinds with marks of their own come before those whose frames look like many others. The list
# comes last, because it accepts almost every line.
TEXT_PARSERS: tuple[Callable[[ReportText], ParsedReport | None], ...] = (
    stackwalk.parse_machine,
    stackwalk.parse_human,
    apple.parse,
    markup.parse,
    dart.parse,
    sanitizers.parse,
    android.parse,
    coredumpctl.parse,
    java.parse,
    windbg.parse,
    lldb.parse,
    rust.parse,
    wine.parse,
    stack_dumps.parse,
    glibc.parse,
    perf.parse,
    gdb.parse,
    kernel.parse,
    other_texts.parse,
    offset_list.parse,
)
KNOWN = (
    "a crash report or log of a sanitizer, Android, coredumpctl, gdb, LLDB, WinDbg, perf script, glibc, the "
    "kernel, Rust, Java, Dart, Chromium, LLVM, Wine, Apple, Firefox, Socorro, Sentry or minidump_stackwalk, "
    "a symbolication request (v4 or v5), or lines of `module id +0xoffset`"
)
NOTHING = "It has no frame that can be looked up."


def parse_report(text: str, most_frames: int) -> ParsedReport:
    """Return the report in a text of any known kind.

    Raises:
        NotSymbolicatable: It is of a known kind, and has nothing that can be looked up.
        InvalidInput: It is no known kind of report.
        TooLarge: It has more frames than `most_frames`.
    """
    reject_file(text)
    rejected = None
    for report in _find_reports(text):
        if (frames := report.count_frames()) > most_frames:
            raise TooLarge(f"Too many frames: {frames}, at most {most_frames} at a time")
        if report.has_lookups():
            return _note_missing_ids(report)
        rejected = rejected or report
    if rejected:
        raise NotSymbolicatable(rejected.kind, " ".join((*rejected.remarks, rejected.remedy or NOTHING)))
    raise InvalidInput(f"No stack found in this text. It can be {KNOWN}.")


def reject_file(text: str) -> None:
    """Raise NotSymbolicatable for a file that is no text, whatever its length."""
    if file := other_texts.parse_file(text):
        raise NotSymbolicatable(file.kind, file.remedy)


def _find_reports(text: str) -> Iterator[ParsedReport]:
    for document in find_documents(text):
        yield from filter(None, (parse(document) for parse in JSON_PARSERS))
    content = ReportText(text)
    yield from filter(None, (parse(content) for parse in TEXT_PARSERS))


def _note_missing_ids(report: ParsedReport) -> ParsedReport:
    missing = sorted({name for name, debug_id in report.modules if name and not debug_id})
    if not missing:
        return report
    remark = f"No debug id for {', '.join(missing)}: write it once, as `{missing[0]} ID`."
    return report._replace(remarks=(*report.remarks, remark))
