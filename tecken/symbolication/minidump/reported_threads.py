"""Threads of a report: the one that crashed, and the others, as far as the limits of a summary allow."""

from __future__ import annotations

from typing import Final, NamedTuple

from tecken.symbolication.minidump.report_values import (
    Json,
    clean,
    read_number,
    read_object,
    read_objects,
    read_text,
    shorten,
)
from tecken.symbolication.minidump.summary import ReportedCall, ReportedFrame, ReportedThread

LONGEST_NUMBER: Final = 40
MAX_INLINES: Final = 30
MAX_REGISTERS: Final = 64
# Frames at the end of a thread that has too many: endless recursion repeats those between.
LAST_FRAMES: Final = 20


class SummaryLimits(NamedTuple):
    """Most threads, frames of a thread, calls of all threads together, and modules of a summary."""

    threads: int = 1024
    frames: int = 120
    calls: int = 100_000
    modules: int = 4096


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
        inlines = read_objects(frame, "inlines")[: min(MAX_INLINES, self.calls)]
        self.calls -= len(inlines)
        return inlines


def read_threads(
    report: Json, limits: SummaryLimits
) -> tuple[ReportedThread | None, tuple[ReportedThread, ...]]:
    """Return the thread that crashed and the others, as many as the limits allow."""
    budget, threads = _Budget(limits), read_objects(report, "threads")
    # The copy has the registers. In a report without it, the thread itself is the best there is.
    copy = {key: value for key, value in read_object(report, "crashing_thread").items() if value is not None}
    index = read_number(copy, "threads_index")
    number = read_number(read_object(report, "crash_info"), "crashing_thread") if index is None else index
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


def _read_thread(index: int, thread: Json, budget: _Budget, *, is_crashing: bool = False) -> ReportedThread:
    frames = read_objects(thread, "frames")
    head, tail = budget.split(len(frames))
    end = len(frames) - tail
    first = tuple(_read_frame(number, frame, budget) for number, frame in enumerate(frames[:head]))
    last = tuple(_read_frame(number, frame, budget) for number, frame in enumerate(frames[end:], end))
    name = read_text(thread, "thread_name")
    return ReportedThread(
        title=f"Thread {index} {name}".strip(),
        name=name,
        id=read_number(thread, "thread_id"),
        last_error=read_text(thread, "last_error_value"),
        is_crashing=is_crashing,
        first=first,
        last=last,
        left_out=end - head,
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
