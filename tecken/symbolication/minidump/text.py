"""Text of a minidump's report for terminals and mails: the thread that crashed, other threads, and modules.

`tecken-symbolicate`, the command `minidump` and the button "Copy as text" use it, so it imports nothing but
the summary.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from tecken.symbolication.minidump.report_values import Json
from tecken.symbolication.minidump.sentence import describe_crash
from tecken.symbolication.minidump.summarize import summarize
from tecken.symbolication.minidump.summary import (
    DumpSummary,
    ReportedCall,
    ReportedFrame,
    ReportedModule,
    ReportedThread,
)

REGISTERS_IN_LINE: Final = 4
# Frames in the line of a thread that is not shown in full.
BRIEF_FRAMES: Final = 3
BRIEF_LENGTH: Final = 60
UPLOADABLE: Final = {"missing", "corrupt"}
NEEDS_REMEDY: Final = {*UPLOADABLE, "unavailable"}


def format_minidump(report: Json, *, site: str = "", all_threads: bool = False) -> str:
    """Return a report as text.

    Args:
        report: rust-minidump's JSON, with or without Tecken's additional keys.
        site: Address of the server, for the commands that upload missing symbols.
        all_threads: Show every thread in full, and every module. By default a thread that did not crash is
            one line, and modules without frames are counted.
    """
    return format_summary(summarize(report), site=site, all_threads=all_threads)


def format_summary(summary: DumpSummary, *, site: str = "", all_threads: bool = False) -> str:
    """Return a summary as text. See format_minidump for the arguments."""
    parts = (
        _format_crash(summary),
        _format_thread(summary.crashing) if summary.crashing else (),
        _format_others(summary, all_threads=all_threads),
        _format_modules(summary, site.rstrip("/"), all_modules=all_threads),
        _format_annotations(summary),
    )
    return "\n\n".join(filter(None, ("\n".join(part) for part in parts))) + "\n"


def _format_crash(summary: DumpSummary) -> Iterator[str]:
    yield describe_crash(summary)
    reason = " at ".join(filter(None, (summary.reason, summary.address)))
    rows = (("Crash reason", reason), ("Assertion", summary.assertion), *summary.crash_lines)
    rows += summary.facts
    rows += tuple(("Note", remark) for remark in summary.remarks)
    lines = [f"{title + ':':13} {text}" for title, text in rows if text]
    yield from ("", *lines) if lines else ()


# Threads


def _format_title(thread: ReportedThread) -> str:
    crashed = " (crashed)" if thread.is_crashing else ""
    number = f", id {thread.id}" if thread.id is not None else ""
    return f"{thread.title}{crashed}{number}"


def _format_thread(thread: ReportedThread) -> Iterator[str]:
    error = f", last error {thread.last_error}" if thread.last_error else ""
    yield f"{_format_title(thread)}{error}"
    for frame in thread.first:
        yield from _format_frame(frame)
    if thread.left_out:
        yield f"     ... {thread.left_out} frames left out; the JSON has all"
    for frame in thread.last:
        yield from _format_frame(frame)
    if not thread.frame_count:
        yield "     no frames"
    if thread.is_cut:
        yield "     ... the walk ended here, at a limit"


def _format_frame(frame: ReportedFrame) -> Iterator[str]:
    number = f"{f'#{frame.number}':<4}"
    for call in frame.inlines:
        yield f"{number} {_format_call(frame.module, call)} (inlined)"
    trust = f" ({frame.trust})" if frame.trust else ""
    note = f" [{frame.note}]" if frame.note else ""
    place = _format_call(frame.module, frame.call) if frame.call else frame.place or "unknown address"
    yield f"{number} {place}{trust}{note}"
    names = [f"{name:>6} = {value}" for name, value in frame.registers]
    for start in range(0, len(names), REGISTERS_IN_LINE):
        yield f"     {' '.join(names[start : start + REGISTERS_IN_LINE])}"


def _format_call(module: str, call: ReportedCall) -> str:
    line = f":{call.line}" if call.line is not None else ""
    file = f" [{call.file}{line}]" if call.file else ""
    return f"{module}!{call.function}{file}" if module else f"{call.function}{file}"


def _format_others(summary: DumpSummary, *, all_threads: bool) -> Iterator[str]:
    if all_threads:
        yield "\n\n".join("\n".join(_format_thread(thread)) for thread in summary.others)
    elif summary.others:
        yield "Other threads"
        yield from (f"  {_format_title(thread)}: {_format_brief(thread)}" for thread in summary.others)
    if summary.threads_left_out:
        yield f"  ... {summary.threads_left_out} threads left out; the JSON has all"


def _format_brief(thread: ReportedThread) -> str:
    frames = [_shorten_frame(frame) for frame in thread.first[:BRIEF_FRAMES]]
    more = thread.frame_count - len(frames)
    rest = f" and {more} more" if more > 0 else ""
    return f"{' < '.join(frames)}{rest}" if frames else "no frames"


def _shorten_frame(frame: ReportedFrame) -> str:
    call = frame.inlines[0] if frame.inlines else frame.call
    text = call.function if call else frame.place or "unknown address"
    return text if len(text) <= BRIEF_LENGTH else f"{text[: BRIEF_LENGTH - 3]}..."


# Modules


def _format_modules(summary: DumpSummary, site: str, *, all_modules: bool) -> Iterator[str]:
    unused = summary.unused_modules
    modules: Sequence[ReportedModule] = summary.used_modules + (unused if all_modules else [])
    if modules:
        yield "Modules"
    for module in modules:
        yield from _format_module(module, site)
    states = {module.state for module in modules if not module.is_kernels}
    if site and states & UPLOADABLE:
        yield f"  Upload missing symbols, then send the dump again: tecken-upload --url {site} FILE"
    elif states & UPLOADABLE:
        yield "  Add missing symbols, then process the dump again: manage.py symbols add PATH"
    elif "unavailable" in states:
        yield f"  Some symbols could not be looked up: {'send' if site else 'process'} the dump again"
    if unused and not all_modules:
        plural = "s have" if len(unused) > 1 else " has"
        yield f"  {len(unused)} other module{plural} no frames"
    if summary.modules_left_out:
        yield f"  ... {summary.modules_left_out} modules left out; the JSON has all"


def _format_module(module: ReportedModule, site: str) -> Iterator[str]:
    debug_file = module.debug_file if module.debug_file != module.name else ""
    version = f"version {module.version}" if module.version else ""
    identity = f"{debug_file} {module.debug_id}".strip()
    details = ", ".join(filter(None, (module.base, identity, version)))
    yield f"  {module.state:11} {module.name or 'no name'}{f' ({details})' if details else ''}"
    if module.is_kernels and module.state in NEEDS_REMEDY:
        yield f"{'':14}the kernel maps it into each process; stacks seldom need its symbols"
    elif module.state in NEEDS_REMEDY:
        if module.reason:
            yield f"{'':14}{module.reason}"
        if site and module.explanation:
            yield f"{'':14}see {site}{module.explanation}"


def _format_annotations(summary: DumpSummary) -> Iterator[str]:
    if summary.annotations:
        yield "Annotations"
    yield from (f"  {name}: {value}" if name else f"  {value}" for name, value in summary.annotations)
