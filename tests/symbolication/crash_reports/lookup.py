"""Symbolication of parsed reports with the sample program, in memory."""

from __future__ import annotations

from tecken.store.port import Missing
from tecken.symbolication.crash_reports.parsed_report import ParsedReport
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts
from tecken.symbolication.symbolicated import StackRow, symbolicate_report
from tecken.symbols.ids import ObjectId
from tests.symbolication.memory import C, MemoryConversionQueue, MemoryModules, page_file, sample

# The names that the texts give the sample program.
NAMES = ("crash-c", "crash-c.pdb", "libapp.so")


def describe(report: ParsedReport, most: int = 3) -> list[str]:
    """Return the first frames as `function:line`, or as the report gives them."""
    file = page_file(sample(C))
    modules = MemoryModules({ObjectId(name, C.debug_id): file for name in NAMES})
    others = (ObjectId(*module) for module in report.modules)
    modules.missing = {module: Missing("absent", "") for module in others if module not in modules.files}
    parts = Parts(modules, MemoryConversionQueue(modules), FrameCache(1 << 20), 0)
    threads = symbolicate_report(parts, report).threads
    return [_describe(row) for thread in threads for row in thread.rows][:most]


def _describe(row: StackRow) -> str:
    if row.call:
        return f"{row.call.function}:{row.call.at.line if row.call.at else 0}"
    return row.given or f"{row.module}+{row.offset}"
