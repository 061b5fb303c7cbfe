"""Summary of a minidump's report: the parts that people read, as pages and terminals show them.

A report is rust-minidump's JSON, with or without Tecken's additional keys. Each of its values may be null,
absent or of another type, and each of its texts may be of any length and have any character. A summary has
none of that: its texts are short and printable, and the number of its threads, frames and modules is bounded.

Source: rust-minidump, minidump-processor/json-schema.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Final, NamedTuple
from urllib.parse import quote

Json = Mapping[str, object]

LONGEST_TEXT: Final = 400
LONGEST_NUMBER: Final = 40
MAX_INLINES: Final = 30
MAX_REGISTERS: Final = 64
MAX_REMARKS: Final = 20
MAX_ANNOTATIONS: Final = 50
UNUSED: Final = "unused"
# States of symbols in the order in which people need them.
STATES: Final = ("missing", "corrupt", "unavailable", "loaded", UNUSED)
# Frames at the end of a thread that has too many: endless recursion repeats those between.
LAST_FRAMES: Final = 20


class SummaryLimits(NamedTuple):
    """Most threads, frames of a thread, calls of all threads together, and modules of a summary."""

    threads: int = 1024
    frames: int = 120
    calls: int = 100_000
    modules: int = 4096


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
    def explanation(self) -> str:
        """Return the path of the page that explains its state; "" if it cannot have symbols."""
        if not self.debug_file or not self.debug_id:
            return ""
        return f"/explain/{quote(self.debug_file, safe='')}/{quote(self.debug_id, safe='')}/"


class DumpSummary(NamedTuple):
    """Summary of a report. `threads_left_out` and `modules_left_out` are those beyond the limits.

    `annotations` are names and values that the program has set for crash reports.
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


def summarize(report: Json, limits: SummaryLimits | None = None) -> DumpSummary:
    """Return the summary of a report with at most `limits` of its parts."""
    limits = limits or SummaryLimits()
    crash, main = read_object(report, "crash_info"), read_number(report, "main_module")
    modules = list(read_objects(report, "modules"))
    counts = _count_frames(report)
    crashing, others = _read_threads(report, limits)
    thread_count = max(len(list(read_objects(report, "threads"))), 1 if crashing else 0)
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
    )


# Values of any type


def clean(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a value as a short text in one line without control characters."""
    text = ("" if value is None else str(value))[: longest + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def read_text(document: Json, key: str) -> str:
    """Return the text of a key; "" for none, or for a list or an object."""
    value = document.get(key)
    return clean(value) if isinstance(value, str | int | float) else ""


def read_number(document: Json, key: str) -> int | None:
    """Return the natural number of a key; None for none, or for another value."""
    value = document.get(key)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return value if is_number and isinstance(value, int) else None


def read_object(document: Json, key: str) -> Json:
    """Return the object of a key; an empty one for none, or for another value."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def read_objects(document: Json, key: str) -> Iterator[Json]:
    """Yield the objects in the list of a key. Other values become empty ones, so that indexes stay right."""
    value = document.get(key)
    if isinstance(value, list):
        yield from (item if isinstance(item, dict) else {} for item in value)


# Threads


class _Budget:
    """Calls that a summary may still have."""

    def __init__(self, limits: SummaryLimits) -> None:
        self.limits, self.calls = limits, limits.calls

    def split(self, count: int) -> tuple[int, int]:
        """Return how many of the first and of the last of `count` frames a thread may have, and take them."""
        most = min(self.limits.frames, self.calls)
        self.calls -= min(count, most)
        if count <= most:
            return count, 0
        last = min(LAST_FRAMES, most // 4)
        return most - last, last

    def take_inlines(self, frame: Json) -> list[Json]:
        """Return the inlined calls that a frame may have."""
        inlines = list(read_objects(frame, "inlines"))[: min(MAX_INLINES, self.calls)]
        self.calls -= len(inlines)
        return inlines


def _read_threads(
    report: Json, limits: SummaryLimits
) -> tuple[ReportedThread | None, tuple[ReportedThread, ...]]:
    """Return the thread that crashed and the others, as many as the limits allow."""
    budget, threads = _Budget(limits), list(read_objects(report, "threads"))
    number = _find_crashing(report)
    # The copy has the registers. In a report without it, the thread itself is the best there is.
    copy = {key: value for key, value in read_object(report, "crashing_thread").items() if value is not None}
    known = threads[number] if number is not None and number < len(threads) else {}
    crashing = None
    if copy or known:
        crashing = _read_thread(number or 0, {**known, **copy}, budget, is_crashing=True)
    others: list[ReportedThread] = []
    for index, thread in enumerate(threads):
        if len(others) + (crashing is not None) >= limits.threads or budget.calls <= 0:
            break
        if crashing is None or index != number:
            others.append(_read_thread(index, thread, budget))
    return crashing, tuple(others)


def _find_crashing(report: Json) -> int | None:
    """Return the index of the thread that crashed."""
    copy, crash = read_object(report, "crashing_thread"), read_object(report, "crash_info")
    index = read_number(copy, "threads_index")
    return index if index is not None else read_number(crash, "crashing_thread")


def _read_thread(index: int, thread: Json, budget: _Budget, *, is_crashing: bool = False) -> ReportedThread:
    frames = list(read_objects(thread, "frames"))
    head, tail = budget.split(len(frames))
    end = len(frames) - tail
    first = tuple(_read_frame(number, frame, budget) for number, frame in enumerate(frames[:head]))
    last = tuple(_read_frame(end + number, frame, budget) for number, frame in enumerate(frames[end:]))
    name = read_text(thread, "thread_name")
    return ReportedThread(
        title=f"Thread {index} {name}".strip(),
        name=name,
        id=read_number(thread, "thread_id"),
        last_error=read_text(thread, "last_error_value"),
        is_crashing=is_crashing,
        first=first,
        last=last,
        left_out=len(frames) - len(first) - len(last),
        is_cut=thread.get("is_cut") is True,
    )


def _read_frame(number: int, frame: Json, budget: _Budget) -> ReportedFrame:
    module, offset = read_text(frame, "module"), read_text(frame, "module_offset")
    registers = list(read_object(frame, "registers").items())[:MAX_REGISTERS]
    unloaded = [read_text(item, "module") for item in read_objects(frame, "unloaded_modules")]
    return ReportedFrame(
        number=number,
        call=_read_call(frame),
        inlines=tuple(filter(None, map(_read_call, budget.take_inlines(frame)))),
        module=module,
        place=f"{module} + {shorten(offset)}" if module and offset else module or read_text(frame, "offset"),
        trust=read_text(frame, "trust"),
        registers=tuple(
            (clean(name, LONGEST_NUMBER), clean(value, LONGEST_NUMBER)) for name, value in registers
        ),
        note=f"unloaded {', '.join(filter(None, unloaded[:3]))}" if any(unloaded[:3]) else "",
    )


def _read_call(document: Json) -> ReportedCall | None:
    function = read_text(document, "function")
    if not function:
        return None
    return ReportedCall(function, read_text(document, "file"), read_number(document, "line"))


def shorten(number: str) -> str:
    """Return a hexadecimal number without the zeros at its start."""
    digits = number.removeprefix("0x").lstrip("0")
    return f"0x{digits or '0'}" if number.startswith("0x") else number


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
    warnings = report.get("warnings")
    texts = (clean(text) for text in warnings) if isinstance(warnings, list) else iter(())
    yield from islice(filter(None, (*messages, *texts)), MAX_REMARKS)


def _read_annotations(crashpad: Json) -> Iterator[tuple[str, str]]:
    """Yield annotations of the process, and then those of its modules."""
    for part in (crashpad, *read_objects(crashpad, "modules")):
        for key in ("simple_annotations", "annotation_objects"):
            yield from ((clean(name), clean(value)) for name, value in read_object(part, key).items())
        texts = part.get("list_annotations")
        yield from (("", clean(text)) for text in (texts if isinstance(texts, list) else ()))
