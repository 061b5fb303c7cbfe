"""Symbolizer markup of LLVM: Fuchsia, and sanitizers with `enable_symbolizer_markup=1`.

    {{{reset}}}
    {{{module:0:app:elf:6cb9dbda...}}}
    {{{mmap:0x555555555000:0x1000:load:0:rx:0x1000}}}
    {{{bt:0:0x555555555130:pc}}}
    {{{bt:1:0x555555555171:ra}}}

A mapping has an address, a size and the address in the module at which it begins. `ra` is an address to which
a call returns: one is subtracted. `pc` is exact. Without either, the innermost frame is exact.

Source: LLVM, docs/SymbolizerMarkupFormat.rst.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from tecken.symbolication.crash_reports.module_table import ModuleRange, elf_id, file_name
from tecken.symbolication.crash_reports.parsed_report import (
    PER_CALLER,
    ParsedReport,
    ReportModule,
    Threads,
    bytes_before,
)
from tecken.symbolication.crash_reports.report_text import ReportText

MODULE_ELEMENT = re.compile(r"\{\{\{module:([^:}]{1,20}):([^:}]{0,1024}):elf:([0-9a-f]{16,128})\}\}\}")
MMAP_ELEMENT = re.compile(
    r"\{\{\{mmap:0x([0-9a-f]{1,16}):0x([0-9a-f]{1,16}):load:([^:}]{1,20}):[a-z]{0,4}:0x([0-9a-f]{1,16})\}\}\}"
)
BT_ELEMENT = re.compile(r"\{\{\{bt:(\d{1,9}):0x([0-9a-f]{1,16})(?::(ra|pc))?\}\}\}")
REMEDY = "It has no modules. Send the log from its last `{{{reset}}}` on."
BEFORE = {"ra": PER_CALLER, "pc": 0}


def parse(text: ReportText) -> ParsedReport | None:
    """Return the report in symbolizer markup."""
    if "{{{bt:" not in text.raw:
        return None
    build_ids = [found[2] for found in MODULE_ELEMENT.findall(text.raw)]
    table, threads = text.table(_spans(text.raw)), Threads()
    for number, address, kind in BT_ELEMENT.findall(text.raw):
        if number == "0" or not threads:
            threads.start(f"Stack {len(threads) + 1}", not threads)
        before = BEFORE.get(kind, bytes_before(int(number)))
        threads.add(table.frame(int(address, 16), "", before))
    return ParsedReport(
        "symbolizer markup", table(), threads.with_frames(), "", (), tuple(dict.fromkeys(build_ids)), REMEDY
    )


def _spans(raw: str) -> Iterator[ModuleRange]:
    modules = {
        number: ReportModule(file_name(name), elf_id(build_id))
        for number, name, build_id in MODULE_ELEMENT.findall(raw)
    }
    for start, size, number, address in MMAP_ELEMENT.findall(raw):
        first = int(start, 16)
        if number in modules:
            # The module begins where its address 0 would be.
            base = max(0, first - int(address, 16))
            yield ModuleRange(base, first + int(size, 16), modules[number])
