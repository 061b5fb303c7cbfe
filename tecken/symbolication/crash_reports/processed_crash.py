"""Processed crashes as JSON: Socorro, `minidump-stackwalk --json`.

    {"crash_info": {"type": "SIGSEGV", "crashing_thread": 0},
     "modules": [{"filename": "app", "debug_file": "app", "debug_id": "DADBB9...", "base_addr": "0x...",
                  "end_addr": "0x...", "code_id": "6cb9dbda..."}],
     "threads": [{"thread_name": "main",
                  "frames": [{"module": "app", "module_offset": "0x1130", "offset": "0x..."}]}]}

These stack walkers write the address of the call, not the return address: nothing is subtracted. The address
decides between modules of one name.

Source: rust-minidump, minidump-processor/json-schema.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from tecken.errors import BadModule
from tecken.symbolication.crash_reports.json_values import (
    Json,
    find_list,
    find_number,
    find_objects,
    find_text,
)
from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, ReportModule, Thread
from tecken.symbols.ids import build_id_of
from tecken.symbols.ids import code_id as normal_code_id


def parse(document: Json) -> ParsedReport | None:
    """Return the report in a processed crash."""
    dump = document.get("json_dump", document)
    entries = find_objects(dump, "modules")
    if not entries or not find_list(dump, "threads"):
        return None
    ids = {find_text(entry, "filename"): report_module(entry) for entry in entries}
    table, info = ModuleTable(module_ranges(entries), ids), dump.get("crash_info")
    crashing = find_crashing_thread(info, dump)
    threads = tuple(
        Thread(
            f"Thread {number} {find_text(thread, 'thread_name')}".strip(),
            tuple(_frame(table, frame) for frame in find_objects(thread, "frames")),
            number == crashing,
        )
        for number, thread in enumerate(find_objects(dump, "threads"))
    )
    build_ids = tuple(build_id for entry in entries if (build_id := _build_id(entry)))
    return ParsedReport("crash report", table(), threads, find_reason(info), tuple(table.remarks), build_ids)


def report_module(entry: Json) -> ReportModule:
    """Return the module of an entry of `modules`."""
    return ReportModule(find_text(entry, "debug_file"), find_text(entry, "debug_id"))


def module_ranges(entries: list[Json]) -> Iterator[ModuleRange]:
    """Yield the address ranges of the entries of `modules`."""
    for entry in entries:
        start, end = find_number(entry, "base_addr"), find_number(entry, "end_addr")
        if start is not None:
            yield ModuleRange(start, end or 0, report_module(entry), find_text(entry, "filename"))


def find_crashing_thread(info: object, dump: object) -> int | None:
    """Return the number of the thread that crashed."""
    for owner in (info, dump):
        number = owner.get("crashing_thread") if isinstance(owner, dict) else None
        if isinstance(number, int):
            return number
    return None


def find_reason(info: object) -> str:
    """Return the kind of crash and its address."""
    if not isinstance(info, dict):
        return ""
    return " at ".join(filter(None, (find_text(info, "type"), find_text(info, "address"))))


def _frame(table: ModuleTable, frame: Json) -> ReportFrame:
    given, name = find_text(frame, "function"), find_text(frame, "module")
    offset, address = find_number(frame, "module_offset"), find_number(frame, "offset")
    if name and offset is not None:
        if address is not None:
            found = table.frame(address, given)
            # Without an end of the module, the range alone would take a frame after it into the wrong one.
            if found.module is not None and found.offset == offset:
                return found
        return table.frame_in(name, offset, given)
    return table.frame(address or 0, given)


def _build_id(entry: Json) -> str:
    """Return the code id of a module as a build id; "" where it is none."""
    try:
        return build_id_of(normal_code_id(find_text(entry, "code_id")), find_text(entry, "debug_id"))
    except BadModule:
        return ""
