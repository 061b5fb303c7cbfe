"""Modules of a crash report: their ids, their address ranges, and the frames in them.

All parsers share these tables. Source of the derivation of debug ids: `tecken.symbols.ids`.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping, Set
from operator import attrgetter
from typing import NamedTuple

from tecken.symbolication.crash_reports.parsed_report import ReportFrame, ReportModule
from tecken.symbols.ids import GUID_DIGITS, WHOLE_BUILD_ID, debug_ids_of_code_id, is_windows_name

HEX = re.compile(r"[0-9A-Fa-f]{1,128}")
NO_MODULE = ReportModule("", "")
# Of GNU ld for programs of 64 bits that are not position-independent, which the linker places below 2 GiB. No
# report has it.
FIXED_BASE = 0x400000
FIXED_END = 1 << 31
FIXED = (
    f"{{}} is not position-independent: {FIXED_BASE:#x}, the image base of GNU ld, was subtracted from its "
    "addresses. If it was linked with another image base, its functions here are wrong."
)


def is_fixed(address: int) -> bool:
    """Return whether a program that is not position-independent may have this address."""
    return FIXED_BASE <= address < FIXED_END


class ModuleRange(NamedTuple):
    """Address range of a module. `end` is the first address after it, 0 where the text does not give it."""

    start: int
    end: int
    module: ReportModule
    name: str = ""
    """Name of the module in frames, if it is another one than that of its debug file."""

    def holds(self, offset: int) -> bool:
        """Return whether an offset is in the module, as far as its end is known."""
        return not self.end or offset < self.end - self.start


class ModuleTable:
    """Modules of a report, numbered in the order in which frames refer to them, with their address ranges.

    `ids` has modules without a range by their names in frames.
    """

    def __init__(
        self, spans: Iterable[ModuleRange] = (), ids: Mapping[str, ReportModule] | None = None
    ) -> None:
        self.spans = sorted(spans)
        self.remarks: list[str] = []
        self._ids = ids or {}
        self._numbers: dict[ReportModule, int] = {}
        self._build_ids: dict[str, None] = {}
        self._by_name: dict[str, list[ModuleRange]] = defaultdict(list)
        for span in self.spans:
            self._by_name[span.name or span.module.debug_file].append(span)

    def __call__(self) -> tuple[ReportModule, ...]:
        """Return the numbered modules in order."""
        return tuple(self._numbers)

    @property
    def build_ids(self) -> tuple[str, ...]:
        """Build ids that frames have given."""
        return tuple(self._build_ids)

    @property
    def names(self) -> Set[str]:
        """Names of the modules with a range in frames."""
        return self._by_name.keys()

    def number(self, module: ReportModule) -> int:
        """Return the number of a module; a new module gets the next one."""
        return self._numbers.setdefault(module, len(self._numbers))

    def frame(self, address: int, given: str = "", before: int = 0) -> ReportFrame:
        """Return the frame of an absolute address, to be looked up `before` bytes earlier in its module."""
        index = bisect_right(self.spans, address, key=attrgetter("start"))
        span = self.spans[index - 1] if index else None
        if span is None or (span.end and address >= span.end):
            return ReportFrame(None, address, given)
        return ReportFrame(self.number(span.module), max(0, address - span.start - before), given)

    def frame_in(
        self,
        path: str,
        offset: int,
        given: str = "",
        before: int = 0,
        build_id: str = "",
        *,
        address: int = 0,
    ) -> ReportFrame:
        """Return the frame at an offset in a module, by its path or name in the text, and its build id.

        An offset that is the whole `address` of the frame is one in a program that is not
        position-independent: its image base is subtracted.

        Of several modules with one name that is the one which is large enough. If there are more of them, the
        frame has no module, because the wrong one would give the wrong function.
        """
        name = file_name(path)
        if offset == address and is_fixed(address):
            self._add_remark(FIXED.format(name))
            offset -= FIXED_BASE
        if build_id and (debug_id := elf_id(build_id)):
            self._build_ids[build_id.lower()] = None
            return self._place(ReportModule(name, debug_id), offset, given, before)
        found = {span.module for span in self._by_name.get(name, ()) if span.holds(offset)}
        if len(found) > 1:
            self._add_remark(
                f"{len(found)} modules are named {name}: the text does not tell which one it is."
            )
            return ReportFrame(None, 0, given or f"{name}+{offset:#x}")
        module = found.pop() if found else NO_MODULE
        if not module.debug_id:
            module = self._ids.get(name, ReportModule(module.debug_file or name, ""))
        return self._place(module, offset, given, before)

    def _place(self, module: ReportModule, offset: int, given: str, before: int) -> ReportFrame:
        return ReportFrame(self.number(module), max(0, offset - before), given)

    def _add_remark(self, text: str) -> None:
        if text not in self.remarks:
            self.remarks.append(text)


def file_name(path: str) -> str:
    """Return the last part of a path of any system; of a library in an APK that of the library."""
    path = path.removesuffix(" (deleted)").rpartition("!")[2]
    return re.split(r"[/\\]", path)[-1]


def elf_id(build_id: str) -> str:
    """Return the debug id of an ELF file: the first 16 bytes of its build id as a GUID, and an age of 0.

    A build id of 8 bytes is filled up with zeros. Other texts, and shorter ids, give "".
    """
    if not HEX.fullmatch(build_id):
        return ""
    return next(iter(debug_ids_of_code_id(build_id)), "")


def apple_id(uuid: str) -> str:
    """Return the debug id of a Mach-O file: its UUID, and an age of 0."""
    return f"{uuid.replace('-', '').upper()}0" if uuid else ""


def module_id(text: str, name: str) -> str:
    """Return the debug id in any of its spellings: a debug id, a GUID without an age, or a build id.

    A debug id with an age of 8 digits is as long as nearly every build id, and much rarer.
    """
    digits = re.sub(r"[^0-9A-Fa-f]", "", text).upper()
    if len(digits) >= WHOLE_BUILD_ID or (len(digits) == GUID_DIGITS // 2 and not is_windows_name(name)):
        return elf_id(digits)
    # The age is nearly always 0.
    return f"{digits}0" if len(digits) == GUID_DIGITS else digits


def is_build_id(text: str) -> bool:
    """Return whether a text can only be a build id, as a tool for ELF files prints it."""
    return bool(HEX.fullmatch(text)) and len(text) >= WHOLE_BUILD_ID and len(text) % 2 == 0
