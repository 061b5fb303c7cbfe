"""Summary of a minidump's report: the parts that people read, as pages and terminals show them.

All texts are short and printable, "" if the report does not have them. `summarize` makes summaries.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from urllib.parse import quote

UNUSED: Final = "unused"
# States of symbols in the order in which people need them.
STATES: Final = ("missing", "corrupt", "unavailable", "loaded", UNUSED)
# Names of the kernel's code in each process of Linux, which is in no file.
VDSO: Final = ("linux-gate.so", "linux-gate.so.1", "linux-vdso.so.1")


class ReportedCall(NamedTuple):
    """Function of a frame, or one that was inlined into it. `file` is "" and `line` None if unknown."""

    function: str
    file: str = ""
    line: int | None = None


class ReportedFrame(NamedTuple):
    """Frame of a thread.

    `inlines` are the calls inlined into `call`, the deepest first. `place` is the module with the offset in
    it, or the address. `note` names unloaded modules that were at this address.
    """

    number: int
    call: ReportedCall | None
    inlines: tuple[ReportedCall, ...]
    module: str
    place: str
    trust: str
    registers: tuple[tuple[str, str], ...] = ()
    note: str = ""


class ReportedThread(NamedTuple):
    """Thread with its first frames and, if `left_out` frames are missing after them, its last ones.

    `is_cut` means that the walk itself ended at a limit.
    """

    title: str
    name: str
    id: int | None
    last_error: str
    is_crashing: bool
    first: tuple[ReportedFrame, ...]
    last: tuple[ReportedFrame, ...]
    left_out: int
    is_cut: bool

    @property
    def frame_count(self) -> int:
        """Return the number of frames that the report has."""
        return len(self.first) + self.left_out + len(self.last)


class ReportedModule(NamedTuple):
    """Module. `state` is one of STATES; `reason` explains it, "" if nothing needs an explanation."""

    name: str
    debug_file: str
    debug_id: str
    version: str
    base: str
    state: str
    reason: str
    frames: int

    @property
    def is_kernels(self) -> bool:
        """Return whether it is the kernel's code: stacks seldom need its symbols."""
        return self.debug_file in VDSO

    @property
    def explanation(self) -> str:
        """Return the path of the page that explains its state; "" if it cannot have symbols."""
        if not self.debug_file or not self.debug_id:
            return ""
        return f"/explain/{quote(self.debug_file, safe='')}/{quote(self.debug_id, safe='')}/"


class DumpSummary(NamedTuple):
    """Summary of a report. `threads_left_out` and `modules_left_out` are those beyond the limits.

    `annotations` are names and values that the program has set for crash reports, and `crash_lines` titles
    and texts about the instruction of the crash. `is_stack_overflow` is what the reason does not tell.
    """

    reason: str
    address: str
    assertion: str
    program: str
    facts: tuple[tuple[str, str], ...]
    crashing: ReportedThread | None
    others: tuple[ReportedThread, ...]
    threads_left_out: int
    modules: tuple[ReportedModule, ...]
    modules_left_out: int
    remarks: tuple[str, ...]
    annotations: tuple[tuple[str, str], ...]
    crash_lines: tuple[tuple[str, str], ...] = ()
    is_stack_overflow: bool = False

    @property
    def first_frame(self) -> ReportedFrame | None:
        """Return the frame that crashed."""
        return self.crashing.first[0] if self.crashing and self.crashing.first else None

    @property
    def used_modules(self) -> list[ReportedModule]:
        """Return the modules that frames need, those without symbols first."""
        used = (module for module in self.modules if module.state != UNUSED)
        return sorted(used, key=lambda module: (STATES.index(module.state), -module.frames))

    @property
    def unused_modules(self) -> list[ReportedModule]:
        """Return the modules that no frame needs."""
        return [module for module in self.modules if module.state == UNUSED]
