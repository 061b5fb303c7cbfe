"""Text that operators read and write: stacks and headers as lines, times and durations. Times are in UTC."""

from __future__ import annotations

from argparse import ArgumentTypeError
from collections.abc import Iterator
from datetime import UTC, datetime, time, timedelta
from typing import Any

from tqdm import tqdm

from tecken.runtimeconfig.option import parse_seconds
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Inline
from tecken.symbols.pagefile.file import Header


def stack_lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """Yield the `results` of a /symbolicate/v5 response.

    An inlined call has its own line, as in a debugger.
    """
    for number, stack in enumerate(stack for job in results for stack in job["stacks"]):
        yield f"stack {number}"
        width = max((len(frame["module"]) for frame in stack), default=0)
        for frame in stack:
            yield from _frame_lines(frame, width)
        yield ""
    for job in results:
        yield from _problem_lines(job)


def _frame_lines(frame: dict[str, Any], width: int) -> Iterator[str]:
    start = f"{frame['frame']:>4}  {frame['module']:<{width}}  "
    for call in frame.get("inlines", ()):
        yield f"{start}{call['function']}{_place(call)} (inlined)"
        start = " " * len(start)
    if "function" in frame:
        yield f"{start}{frame['function']} + {frame['function_offset']}{_place(frame)}"
    else:
        yield f"{start}{frame['module_offset']}"


def _place(frame: dict[str, Any]) -> str:
    if not frame.get("file"):
        return ""
    return f" at {frame['file']}:{frame['line']}" if frame.get("line") else f" at {frame['file']}"


def _problem_lines(job: dict[str, Any]) -> Iterator[str]:
    for module, found in job["found_modules"].items():
        errors = job["module_errors"].get(module)
        if errors:
            yield f"{module}: {errors[0]['message']}"
        elif found is False:
            yield f"{module}: no source has symbols for it"


def header_lines(module: ObjectId, header: Header) -> Iterator[str]:
    """Yield the metadata and the sizes of a module."""
    metadata = header.metadata
    dropped = ", ".join(f"{count} {reason}" for reason, count in metadata.dropped.items())
    rows = {
        "debug file": metadata.debug_file,
        "debug id": metadata.debug_id,
        "code file": metadata.code_file,
        "code id": metadata.code_id,
        "system": f"{metadata.os} {metadata.arch}",
        "generator": metadata.generator,
        "symbols": f"{metadata.symbols:,}",
        "dropped": dropped,
        "symbol file": f"{size(metadata.sym_bytes)} of text",
        "page file": _describe_pages(header),
        "generation": header.generation,
    }
    yield str(module)
    for name, value in rows.items():
        yield f"  {name:<12} {value or '-'}"


def _describe_pages(header: Header) -> str:
    count = header.page_count
    pages = header.span(count - 1)[1] - len(header.raw) if count else 0
    average = f", {size(pages / count)} on average" if count else ""
    return f"{size(len(header.raw) + pages)}: a header of {size(len(header.raw))}, {count:,} pages{average}"


def symbol_lines(offset: int, frame: Frame | None) -> Iterator[str]:
    """Yield the inlined calls and the function at an offset."""
    if frame is None:
        yield f"{offset:#x}  no symbol"
        return
    for call in frame.inlines:
        yield f"{offset:#x}  {call.function}{_at(call)} (inlined)"
    yield f"{offset:#x}  {frame.function} + {offset - frame.entry:#x}{_at(frame)}"


def _at(call: Frame | Inline) -> str:
    return _place({"file": call.file, "line": call.line})


def size(count: float) -> str:
    """Return a number of bytes in units, such as 1.23MB for 1234567."""
    return str(tqdm.format_sizeof(count, "B"))


# Times and durations

FORMS = "10m, 1h 30m, 23:00 or 2026-11-21T23:00:00Z"


def duration(text: str) -> float:
    """Return the seconds of a duration such as `30`, `90s` or `10m`.

    Raises:
        ArgumentTypeError: The text is no duration.
    """
    seconds = parse_seconds(text.strip())
    try:
        return float(seconds if isinstance(seconds, float) else text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} should be a duration such as 30s or 10m") from None


def moment(text: str, after: datetime) -> datetime:
    """Return a point in time: the next such time of day, a duration from `after`, or a date with a time.

    Raises:
        ArgumentTypeError: The text is none of these.
    """
    text = text.strip()
    for parse in (_parse_duration, _parse_time_of_day, _parse_instant):
        try:
            return parse(text, after).replace(microsecond=0)
        except (ValueError, OverflowError):
            continue
    raise ArgumentTypeError(f"{text!r} should be a time (UTC) such as {FORMS}")


def format_time(moment: datetime | None) -> str:
    """Return a time for people, or a dash."""
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S} UTC" if moment else "-"


def _parse_duration(text: str, after: datetime) -> datetime:
    seconds = parse_seconds(text)
    if isinstance(seconds, float):
        return after + timedelta(seconds=seconds)
    raise ValueError(text)


def _parse_time_of_day(text: str, after: datetime) -> datetime:
    time_of_day = time.fromisoformat(text)
    if ":" not in text:
        raise ValueError(text)
    today = datetime.combine(after.astimezone(UTC), time_of_day, time_of_day.tzinfo or UTC).astimezone(UTC)
    while today <= after:
        today += timedelta(days=1)
    return today


def _parse_instant(text: str, _after: datetime) -> datetime:
    parsed = datetime.fromisoformat(text)
    return parsed.astimezone(UTC) if parsed.tzinfo else parsed.replace(tzinfo=UTC)
