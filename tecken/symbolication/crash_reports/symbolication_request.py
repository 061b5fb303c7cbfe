"""Requests of the symbolication API as JSON, versions 4 and 5.

    {"jobs": [{"memoryMap": [["app", "6CB9..."]], "stacks": [[[0, 4400]]]}]}

Offsets are those to look up: nothing is subtracted.

Source: docs/api.md.
"""

from __future__ import annotations

from typing import Any

from tecken.symbolication.crash_reports.json_values import Json, find_list, find_number, find_objects
from tecken.symbolication.crash_reports.module_table import ModuleTable
from tecken.symbolication.crash_reports.parsed_report import ParsedReport, ReportFrame, ReportModule, Thread


def parse(document: Json) -> ParsedReport | None:
    """Return the stacks of a request."""
    jobs = [document] if "memoryMap" in document else find_objects(document, "jobs")
    if not any("stacks" in job for job in jobs):
        return None
    table = ModuleTable()
    threads: list[Thread] = []
    for job in jobs:
        modules = [_module(entry) for entry in find_list(job, "memoryMap")]
        for stack in find_list(job, "stacks"):
            pairs = stack if isinstance(stack, list) else ()
            frames = tuple(_frame(table, modules, pair) for pair in pairs)
            threads.append(Thread(f"Stack {len(threads) + 1}", frames))
    return ParsedReport("symbolication request", table(), tuple(threads))


def _module(entry: Any) -> ReportModule:
    pair = entry if isinstance(entry, list) and len(entry) == 2 else ["", ""]
    return ReportModule(*(part if isinstance(part, str) else "" for part in pair))


def _frame(table: ModuleTable, modules: list[ReportModule], pair: Any) -> ReportFrame:
    index, value = pair if isinstance(pair, list) and len(pair) == 2 else (-1, 0)
    offset = find_number({"offset": value}, "offset") or 0
    if isinstance(index, int) and 0 <= index < len(modules):
        return ReportFrame(table.number(modules[index]), offset)
    return ReportFrame(None, offset)
