"""Stacks, frames and headers as lines for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Inline
from tecken.symbols.pagefile.file import Header


def stack_lines(results: list[dict[str, Any]]) -> Iterator[str]:
    """The `results` of a /symbolicate/v5 answer; an inlined call has a line of its own, as in a debugger."""
    for number, stack in enumerate(stack for job in results for stack in job["stacks"]):
        yield f"stack {number}"
        width = max((len(frame["module"]) for frame in stack), default=0)
        for frame in stack:
            yield from _frame_lines(frame, width)
        yield ""
    for job in results:
        yield from _trouble_lines(job)


def _frame_lines(frame: dict[str, Any], width: int) -> Iterator[str]:
    start = f"{frame['frame']:>4}  {frame['module']:<{width}}  "
    for call in frame.get("inlines", ()):
        yield f"{start}{call['function']}{_place(call)} (inlined)"
        start = " " * len(start)
    if "function" in frame:
        yield f"{start}{frame['function']} + {frame['function_offset']}{_place(frame)}"
    else:
        yield f"{start}{frame['module_offset']}"


def _place(where: dict[str, Any]) -> str:
    if not where.get("file"):
        return ""
    return f" at {where['file']}:{where['line']}" if where.get("line") else f" at {where['file']}"


def _trouble_lines(job: dict[str, Any]) -> Iterator[str]:
    for module, found in job["found_modules"].items():
        errors = job["module_errors"].get(module)
        if errors:
            yield f"{module}: {errors[0]['message']}"
        elif found is False:
            yield f"{module}: nobody has symbols for it"


def header_lines(module: ObjectId, header: Header) -> Iterator[str]:
    said = header.metadata
    dropped = ", ".join(f"{count} {reason}" for reason, count in said.dropped.items())
    rows = {
        "debug file": said.debug_file,
        "debug id": said.debug_id,
        "code file": said.code_file,
        "code id": said.code_id,
        "system": f"{said.os} {said.arch}",
        "generator": said.generator,
        "symbols": f"{said.symbols:,}",
        "dropped": dropped,
        "symbol file": f"{size(said.sym_bytes)} of text",
        "page file": _pages(header),
        "generation": header.generation,
    }
    yield str(module)
    for name, value in rows.items():
        yield f"  {name:<12} {value or '-'}"


def _pages(header: Header) -> str:
    count = header.page_count
    pages = header.span(count - 1)[1] - len(header.raw) if count else 0
    average = f", {size(pages / count)} on average" if count else ""
    return f"{size(len(header.raw) + pages)}: a header of {size(len(header.raw))}, {count:,} pages{average}"


def symbol_lines(offset: int, frame: Frame | None) -> Iterator[str]:
    if frame is None:
        yield f"{offset:#x}  no symbol"
        return
    for call in frame.inlines:
        yield f"{offset:#x}  {call.function}{_at(call)} (inlined)"
    yield f"{offset:#x}  {frame.function} + {offset - frame.entry:#x}{_at(frame)}"


def _at(where: Frame | Inline) -> str:
    return _place({"file": where.file, "line": where.line})


def size(count: float) -> str:
    """1234567 -> 1.23MB"""
    return str(tqdm.format_sizeof(count, "B"))
