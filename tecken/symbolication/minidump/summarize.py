"""Summary of a report of any origin: its crash, modules, facts, remarks and annotations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from itertools import chain, islice
from typing import Final

from tecken.symbolication.minidump.report_values import (
    Json,
    clean,
    read_list,
    read_number,
    read_object,
    read_objects,
    read_text,
)
from tecken.symbolication.minidump.reported_crash import read_crash_lines
from tecken.symbolication.minidump.reported_threads import SummaryLimits, read_threads
from tecken.symbolication.minidump.summary import STATES, UNUSED, DumpSummary, ReportedModule

MAX_REMARKS: Final = 20
MAX_ANNOTATIONS: Final = 50
LIMITS: Final = SummaryLimits()


def summarize(report: Json, limits: SummaryLimits = LIMITS) -> DumpSummary:
    """Return the summary of a report with at most `limits` of its parts."""
    crash, main = read_object(report, "crash_info"), read_number(report, "main_module")
    modules = read_objects(report, "modules")
    counts = _count_frames(report)
    crashing, others = read_threads(report, limits)
    thread_count = max(len(read_objects(report, "threads")), 1 if crashing else 0)
    return DumpSummary(
        reason=read_text(crash, "type"),
        address=read_text(crash, "address"),
        assertion=read_text(crash, "assertion"),
        program=read_text(modules[main], "filename") if main is not None and main < len(modules) else "",
        facts=tuple(_read_facts(report)),
        crashing=crashing,
        others=others,
        threads_left_out=thread_count - len(others) - (1 if crashing else 0),
        modules=tuple(_read_module(module, counts) for module in modules[: limits.modules]),
        modules_left_out=max(0, len(modules) - limits.modules),
        remarks=tuple(_read_remarks(report)),
        annotations=tuple(islice(_read_annotations(read_object(report, "crashpad")), MAX_ANNOTATIONS)),
        crash_lines=tuple(read_crash_lines(crash)),
        is_stack_overflow=bool(read_object(crash, "stack_overflow")),
    )


# Modules


def _count_frames(report: Json) -> Counter[str]:
    """Return the number of frames in each module, by its name as it is in the report."""
    frames = (frame for thread in read_objects(report, "threads") for frame in read_objects(thread, "frames"))
    return Counter(str(frame.get("module")) for frame in frames)


def _read_module(module: Json, counts: Counter[str]) -> ReportedModule:
    name = read_text(module, "filename") or read_text(module, "debug_file")
    # A module without an id has zeros.
    debug_id = read_text(module, "debug_id").upper()
    return ReportedModule(
        name=name,
        debug_file=read_text(module, "debug_file"),
        debug_id=debug_id if debug_id.strip("0") else "",
        version=read_text(module, "version"),
        base=read_text(module, "base_addr"),
        state=_read_state(module),
        reason=read_text(module, "symbols_reason"),
        frames=counts[str(module.get("filename"))],
    )


def _read_state(module: Json) -> str:
    """Return the state of a module's symbols, also for a report without Tecken's key."""
    state = module.get("symbols")
    if isinstance(state, str) and state in STATES:
        return state
    # rust-minidump sets `loaded_symbols` also for a corrupt file.
    for known in ("corrupt", "loaded", "missing"):
        if module.get(f"{known}_symbols") is True:
            return known
    return UNUSED


# Facts and remarks


def _read_facts(report: Json) -> Iterator[tuple[str, str]]:
    """Yield titles and texts of the system and the process."""
    system, release = read_object(report, "system_info"), read_object(report, "lsb_release")
    names = (read_text(system, "os"), read_text(system, "os_ver"))
    described = read_text(release, "description")
    if name := " ".join(filter(None, names)):
        yield "System", f"{name} ({described})" if described else name
    if cpu := ", ".join(_read_processor(system)):
        yield "Processor", cpu
    process, uptime = read_number(report, "pid"), read_number(report, "process_uptime")
    if process is not None:
        yield "Process", f"{process}"
    if uptime is not None:
        yield "Uptime", f"{uptime} s"


def _read_processor(system: Json) -> Iterator[str]:
    yield from filter(None, (read_text(system, "cpu_arch"), read_text(system, "cpu_info")))
    if count := read_number(system, "cpu_count"):
        yield f"{count} processor{'s' if count > 1 else ''}"
    if microcode := read_text(system, "cpu_microcode_version"):
        yield f"microcode {microcode}"


def _read_remarks(report: Json) -> Iterator[str]:
    """Yield messages that the process or its system left in the dump, and warnings about the dump."""
    records = read_objects(read_object(report, "mac_crash_info"), "records")
    messages = (read_text(record, key) for record in records for key in ("message", "message2"))
    warnings = map(clean, read_list(report, "warnings"))
    yield from islice(filter(None, chain(messages, warnings)), MAX_REMARKS)


def _read_annotations(crashpad: Json) -> Iterator[tuple[str, str]]:
    """Yield annotations of the process, and then those of its modules."""
    for part in (crashpad, *read_objects(crashpad, "modules")):
        for key in ("simple_annotations", "annotation_objects"):
            yield from ((clean(name), clean(value)) for name, value in read_object(part, key).items())
        yield from (("", clean(text)) for text in read_list(part, "list_annotations"))
