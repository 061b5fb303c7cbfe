"""Crash reports in JSON: our own requests, Socorro's and rust-minidump's, Firefox crash pings, Apple's .ips.

Sources: docs/api.md; rust-minidump, minidump-processor/json-schema.md; Firefox, crash ping schema
(`stackTraces`); Apple, Interpreting the JSON format of a crash report. What is not as it should be is left
out, a frame at a time: half a report is better than none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tecken.symbolication.crash_reports.parsed_report import (
    Frame,
    Module,
    Modules,
    Paste,
    Span,
    Thread,
    before,
    whole,
)

Json = dict[str, Any]


def report(text: str) -> Paste | None:
    for document in _documents(text):
        for form in (_request, _crash, _ping, _apple):
            if paste := form(document):
                return paste
    return None


def _documents(text: str) -> Iterator[Json]:
    """The whole of it, or what follows a first line that is a document of its own, as in an .ips file."""
    for part in (text, text.lstrip().partition("\n")[2]):
        try:
            found = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        if isinstance(found, dict):
            yield found
        return


def _list(owner: Any, *names: str) -> list[Any]:
    """The first of these members that is a list."""
    found = (owner.get(name) for name in names) if isinstance(owner, dict) else iter(())
    return next((value for value in found if isinstance(value, list)), [])


def _dicts(owner: Any, *names: str) -> list[Json]:
    return [value if isinstance(value, dict) else {} for value in _list(owner, *names)]


def _text(owner: Json, *names: str) -> str:
    return next((value for name in names if isinstance(value := owner.get(name), str)), "")


def _number(owner: Json, *names: str) -> int | None:
    for name in names:
        try:
            return whole(owner.get(name))
        except ValueError:
            continue
    return None


def _request(document: Json) -> Paste | None:
    jobs = [document] if "memoryMap" in document else _dicts(document, "jobs")
    if not any("stacks" in job for job in jobs):
        return None
    modules = Modules()
    threads: list[Thread] = []
    for job in jobs:
        spelt = [_spelt(entry) for entry in _list(job, "memoryMap")]
        for stack in _list(job, "stacks"):
            pairs = stack if isinstance(stack, list) else ()
            frames = tuple(_requested(modules, spelt, pair) for pair in pairs)
            threads.append(Thread(f"Stack {len(threads) + 1}", frames))
    return Paste("symbolication request", modules(), tuple(threads))


def _spelt(entry: Any) -> Module:
    pair = entry if isinstance(entry, list) and len(entry) == 2 else ["", ""]
    return Module(*(part if isinstance(part, str) else "" for part in pair))


def _requested(modules: Modules, spelt: list[Module], pair: Any) -> Frame:
    index, offset = pair if isinstance(pair, list) and len(pair) == 2 else (-1, 0)
    at = _number({"offset": offset}, "offset") or 0
    if isinstance(index, int) and 0 <= index < len(spelt):
        return Frame(modules.number(spelt[index]), at)
    return Frame(None, at)


def _crash(document: Json) -> Paste | None:
    """Socorro's processed crash, or what rust-minidump's minidump-stackwalk --json writes."""
    dump = document.get("json_dump", document)
    listed = _dicts(dump, "modules")
    if not listed or not _list(dump, "threads"):
        return None
    known = {_text(entry, "filename"): _module(entry) for entry in listed}
    modules, info = Modules(_spans(listed)), dump.get("crash_info")
    crashed = _crashed(info, dump)
    threads = tuple(
        Thread(
            f"Thread {number} {_text(thread, 'thread_name')}".strip(),
            tuple(_crash_frame(modules, known, frame) for frame in _dicts(thread, "frames")),
            number == crashed,
        )
        for number, thread in enumerate(_dicts(dump, "threads"))
    )
    return Paste("crash report", modules(), threads, _reason(info))


def _crashed(info: Any, dump: Json) -> int | None:
    for owner in (info, dump):
        number = owner.get("crashing_thread") if isinstance(owner, dict) else None
        if isinstance(number, int):
            return number
    return None


def _reason(info: Any) -> str:
    return (
        " at ".join(filter(None, (_text(info, "type"), _text(info, "address"))))
        if isinstance(info, dict)
        else ""
    )


def _module(entry: Json) -> Module:
    return Module(_text(entry, "debug_file"), _text(entry, "debug_id"))


def _spans(listed: list[Json]) -> Iterator[Span]:
    for entry in listed:
        start, end = _number(entry, "base_addr"), _number(entry, "end_addr")
        if start is not None:
            yield Span(start, end or 0, _module(entry))


def _crash_frame(modules: Modules, known: dict[str, Module], frame: Json) -> Frame:
    """Addresses are those of calls already."""
    given, module = _text(frame, "function"), known.get(_text(frame, "module"))
    offset = _number(frame, "module_offset")
    if module is not None and offset is not None:
        return Frame(modules.number(module), offset, given)
    return modules.frame(_number(frame, "offset") or 0, given)


def _ping(document: Json) -> Paste | None:
    payload = document.get("payload", document)
    traces = payload.get("stackTraces", payload.get("stack_traces")) if isinstance(payload, dict) else None
    if not isinstance(traces, dict) or not (listed := _dicts(traces, "modules")):
        return None
    modules, info = Modules(_spans(listed)), traces.get("crash_info")
    crashed = _crashed(info, {})
    threads = tuple(
        Thread(
            f"Thread {number}",
            tuple(modules.frame(_number(frame, "ip") or 0) for frame in _dicts(thread, "frames")),
            number == crashed,
        )
        for number, thread in enumerate(_dicts(traces, "threads"))
    )
    return Paste("crash ping", modules(), threads, _reason(info))


def _apple(document: Json) -> Paste | None:
    images = [_image(entry) for entry in _dicts(document, "usedImages")]
    if not images:
        return None
    modules, faulting = Modules(), document.get("faultingThread")
    threads = tuple(
        Thread(
            f"Thread {number} {_text(thread, 'name', 'queue')}".strip(),
            tuple(
                _apple_frame(modules, images, at, frame) for at, frame in enumerate(_dicts(thread, "frames"))
            ),
            number == faulting,
        )
        for number, thread in enumerate(_dicts(document, "threads"))
    )
    exception = document.get("exception")
    reason = _text(exception, "type", "signal") if isinstance(exception, dict) else ""
    return Paste("Apple crash report", modules(), threads, reason)


def _image(entry: Json) -> Module:
    return Module(_text(entry, "name"), apple_id(_text(entry, "uuid")))


def apple_id(uuid: str) -> str:
    """The debug id of a Mach-O file: its UUID, and an age of 0."""
    return f"{uuid.replace('-', '').upper()}0" if uuid else ""


def _apple_frame(modules: Modules, images: list[Module], at: int, frame: Json) -> Frame:
    index, offset = frame.get("imageIndex"), _number(frame, "imageOffset")
    if not isinstance(index, int) or offset is None or not 0 <= index < len(images):
        return Frame(None, offset or 0, _text(frame, "symbol"))
    return Frame(modules.number(images[index]), max(0, offset - before(at)), _text(frame, "symbol"))
