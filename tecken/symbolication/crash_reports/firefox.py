"""Crash pings and raw crash reports of Firefox as JSON.

    {"payload": {"stackTraces": {
        "modules": [{"base_addr": "0x...", "end_addr": "0x...", "debug_file": "xul.pdb", "debug_id": "..."}],
        "threads": [{"frames": [{"ip": "0x...", "module_index": 0}]}]}}}
    {"StackTraces": {...}, "ProductName": "Firefox"}             the .extra file beside a minidump

`ip` is the address of the call, not the return address: nothing is subtracted.

Source: Firefox source docs, "crash" ping; Crash Annotations.
"""

from __future__ import annotations

from typing import Any

import orjson

from tecken.symbolication.crash_reports.json_values import Json, find_number, find_objects
from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, Thread
from tecken.symbolication.crash_reports.processed_crash import (
    find_crashing_thread,
    find_reason,
    module_ranges,
)

RAW = ("ProductName", "BuildID")
RAW_REMEDY = (
    "It has no stacks. Paste the processed crash, crash-stats.mozilla.org/api/ProcessedCrash/?crash_id=ID, "
    "or what `minidump-stackwalk --json FILE.dmp` prints."
)


def parse(document: Json) -> ParsedReport | None:
    """Return the report in a crash ping or raw crash."""
    payload = document.get("payload", document)
    traces = _traces(payload) if isinstance(payload, dict) else None
    if not isinstance(traces, dict) or not (entries := find_objects(traces, "modules")):
        if all(name in document for name in RAW):
            return ParsedReport("raw crash of Firefox", (), (), remedy=RAW_REMEDY)
        return None
    table, info = ModuleTable(module_ranges(entries)), traces.get("crash_info")
    crashing = find_crashing_thread(info, {})
    threads = tuple(
        Thread(
            f"Thread {number}",
            tuple(table.frame(find_number(frame, "ip") or 0) for frame in find_objects(thread, "frames")),
            number == crashing,
        )
        for number, thread in enumerate(find_objects(traces, "threads"))
    )
    return ParsedReport("crash ping", table(), threads, find_reason(info))


def _traces(payload: Json) -> Any:
    for name in ("stackTraces", "stack_traces", "StackTraces"):
        if name in payload:
            traces = payload[name]
            if not isinstance(traces, str):
                return traces
            # Annotations of older versions are JSON within JSON.
            try:
                return orjson.loads(traces)
            except orjson.JSONDecodeError:
                return None
    return None
