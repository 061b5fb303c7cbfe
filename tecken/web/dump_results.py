"""Results of minidumps as their page shows them: stacks, the modules with remedies, and the text to copy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from tecken.errors import Malformed, Unavailable
from tecken.runtimeconfig.current import options
from tecken.symbolication.crash_reports.parsed_report import ReportModule
from tecken.symbolication.minidump.report_values import Json
from tecken.symbolication.minidump.reported_threads import SummaryLimits
from tecken.symbolication.minidump.sentence import describe_crash
from tecken.symbolication.minidump.summarize import summarize
from tecken.symbolication.minidump.summary import (
    UNUSED,
    VDSO,
    DumpSummary,
    ReportedCall,
    ReportedFrame,
    ReportedModule,
    ReportedThread,
)
from tecken.symbolication.minidump.text import format_summary
from tecken.symbolication.symbolicated import (
    NO_DEBUG_ID,
    NO_SYMBOLS,
    Call,
    ModuleUse,
    StackRow,
    SymbolicatedReport,
    SymbolicatedThread,
    find_source,
)
from tecken.web.module_facts import list_modules

# They bound a page to about 2 MB, whatever the dump has; the JSON has everything.
LIMITS: Final = SummaryLimits(threads=256, frames=120, calls=3000, modules=1000)
TRUST: Final = {
    "context": ("context", "from the registers of the thread"),
    "cfi": ("cfi", "by the unwind information of the module"),
    "frame_pointer": ("frame pointer", "by the chain of frame pointers"),
    "scan": ("found by scan", "by a search of the stack: it may be left from an earlier call"),
}
# Problem of a module by its state, as `module_errors` names it.
PROBLEMS: Final = {"corrupt": Malformed.wire_name, "unavailable": Unavailable.wire_name}


class DumpRow(NamedTuple):
    """Frame with its trust: a word, and an explanation. `is_doubtful`: the frame may be none."""

    number: int
    call: Call | None
    inlines: tuple[Call, ...]
    module: str
    place: str
    note: str
    trust: str
    trust_title: str
    is_doubtful: bool


class DumpStack(NamedTuple):
    """Thread of a dump with the rows of its frames."""

    thread: ReportedThread
    first: tuple[DumpRow, ...]
    last: tuple[DumpRow, ...]


def describe_form() -> dict[str, object]:
    """Return the values of the form that sends a minidump, and of what is kept afterwards."""
    values = options()
    return {
        "most_dump_bytes": values.minidump_max_bytes,
        "keep_seconds": values.minidump_keep_seconds,
        "keeps_dumps": values.minidump_keep_dumps,
    }


def describe_result(report: Json, site: str) -> dict[str, object]:
    """Return the values of the page's template for a report."""
    summary = summarize(report, LIMITS)
    modules = list_modules(_to_symbolicated(summary), site, is_of_dump=True)
    return {
        "summary": summary,
        "sentence": describe_crash(summary),
        "crashing": summary.crashing and _read_stack(summary.crashing),
        "others": [_read_stack(thread) for thread in summary.others],
        "modules": modules,
        "missing": [row for row in modules if row.use.why and row.use.module.debug_file not in VDSO],
        "unused": summary.unused_modules,
        "has_versions": any(module.version for module in summary.unused_modules),
        "plain": format_summary(summary, site=site),
    }


def _read_stack(thread: ReportedThread) -> DumpStack:
    return DumpStack(thread, tuple(map(_read_row, thread.first)), tuple(map(_read_row, thread.last)))


def _read_row(frame: ReportedFrame) -> DumpRow:
    trust, title = TRUST.get(frame.trust, (frame.trust, ""))
    call, inlines = _read_call(frame.call), tuple(filter(None, map(_read_call, frame.inlines)))
    is_doubtful = frame.trust == "scan"
    return DumpRow(
        frame.number, call, inlines, frame.module, frame.place, frame.note, trust, title, is_doubtful
    )


def _read_call(call: ReportedCall | None) -> Call | None:
    if call is None:
        return None
    return Call(call.function, find_source(call.file, call.line) if call.file else None)


# Modules


def _to_symbolicated(summary: DumpSummary) -> SymbolicatedReport:
    """Return the modules and frames of a summary as those of a crash report, whose remedies are the same."""
    threads = [summary.crashing] if summary.crashing else []
    names = {module.name: module.debug_file for module in summary.modules}
    symbolicated = (
        SymbolicatedThread(thread.title, thread.is_crashing, tuple(_stack_rows(thread, names)))
        for thread in (*threads, *summary.others)
    )
    uses = (_module_use(module) for module in summary.used_modules)
    return SymbolicatedReport(tuple(symbolicated), tuple(uses), 0.0)


def _stack_rows(thread: ReportedThread, names: dict[str, str]) -> Iterator[StackRow]:
    for frame in (*thread.first, *thread.last):
        yield StackRow(frame.number, names.get(frame.module, ""), "", _read_call(frame.call), (), "")


def _module_use(module: ReportedModule) -> ModuleUse:
    names = ReportModule(module.debug_file or module.name, module.debug_id)
    return ModuleUse(
        module=names,
        frames=module.frames,
        why=_why_not(module),
        fetched=0.0,
        bytes=0,
        parsed=0.0,
        explain=module.explanation,
        problem=PROBLEMS.get(module.state, ""),
        reason=module.reason,
    )


def _why_not(module: ReportedModule) -> str:
    """Return why the frames of a module have no functions, "" if they have."""
    if module.state in ("loaded", UNUSED):
        return ""
    return module.reason or (NO_SYMBOLS if module.debug_id else NO_DEBUG_ID)
