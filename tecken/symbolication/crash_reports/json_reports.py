"""Parsers of JSON reports: symbolication requests, Socorro, rust-minidump, Firefox crash pings, Apple .ips.

Sources: docs/api.md; rust-minidump, minidump-processor/json-schema.md; Firefox, crash ping schema
(`stackTraces`); Apple, Interpreting the JSON format of a crash report. Malformed parts are left out one by
one, because half a report is better than none.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tecken.errors import BadModule
from tecken.symbolication.crash_reports.parsed_report import (
    ModuleRange,
    ModuleTable,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    bytes_before,
    parse_address,
)
from tecken.symbols.ids import build_id_of
from tecken.symbols.ids import code_id as normal_code_id

Json = dict[str, Any]


def report(text: str) -> ParsedReport | None:
    """Return the report in a JSON document of any known kind."""
    for document in _documents(text):
        for parse in (_request, _crash, _ping, _apple):
            if paste := parse(document):
                return paste
    return None


def _documents(text: str) -> Iterator[Json]:
    """Yield the JSON object of the text, or the one after its first line: an .ips file has two documents."""
    for part in (text, text.lstrip().partition("\n")[2]):
        try:
            document = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        if isinstance(document, dict):
            yield document
        return


def _list(owner: Any, *names: str) -> list[Any]:
    """Return the first of these members that is a list, or an empty list."""
    values = (owner.get(name) for name in names) if isinstance(owner, dict) else iter(())
    return next((value for value in values if isinstance(value, list)), [])


def _dicts(owner: Any, *names: str) -> list[Json]:
    """Return a list's items; each that is not an object counts as empty, so that positions stay."""
    return [value if isinstance(value, dict) else {} for value in _list(owner, *names)]


def _text(owner: Json, *names: str) -> str:
    """Return the first of these members that is a string, or ""."""
    return next((value for name in names if isinstance(value := owner.get(name), str)), "")


def _number(owner: Json, *names: str) -> int | None:
    """Return the first of these members that is an address."""
    for name in names:
        try:
            return parse_address(owner.get(name))
        except ValueError:
            continue
    return None


def _request(document: Json) -> ParsedReport | None:
    jobs = [document] if "memoryMap" in document else _dicts(document, "jobs")
    if not any("stacks" in job for job in jobs):
        return None
    modules = ModuleTable()
    threads: list[Thread] = []
    for job in jobs:
        job_modules = [_requested_module(entry) for entry in _list(job, "memoryMap")]
        for stack in _list(job, "stacks"):
            pairs = stack if isinstance(stack, list) else ()
            frames = tuple(_requested_frame(modules, job_modules, pair) for pair in pairs)
            threads.append(Thread(f"Stack {len(threads) + 1}", frames))
    return ParsedReport("symbolication request", modules(), tuple(threads))


def _requested_module(entry: Any) -> ReportModule:
    pair = entry if isinstance(entry, list) and len(entry) == 2 else ["", ""]
    return ReportModule(*(part if isinstance(part, str) else "" for part in pair))


def _requested_frame(modules: ModuleTable, job_modules: list[ReportModule], pair: Any) -> ReportFrame:
    index, value = pair if isinstance(pair, list) and len(pair) == 2 else (-1, 0)
    offset = _number({"offset": value}, "offset") or 0
    if isinstance(index, int) and 0 <= index < len(job_modules):
        return ReportFrame(modules.number(job_modules[index]), offset)
    return ReportFrame(None, offset)


def _crash(document: Json) -> ParsedReport | None:
    """Return the report in Socorro's processed crash, or in the output of minidump-stackwalk --json."""
    dump = document.get("json_dump", document)
    entries = _dicts(dump, "modules")
    if not entries or not _list(dump, "threads"):
        return None
    by_name = {_text(entry, "filename"): _module(entry) for entry in entries}
    modules, info = ModuleTable(_spans(entries)), dump.get("crash_info")
    crashing = _crashing_thread(info, dump)
    threads = tuple(
        Thread(
            f"Thread {number} {_text(thread, 'thread_name')}".strip(),
            tuple(_crash_frame(modules, by_name, frame) for frame in _dicts(thread, "frames")),
            number == crashing,
        )
        for number, thread in enumerate(_dicts(dump, "threads"))
    )
    build_ids = tuple(build_id for entry in entries if (build_id := _build_id(entry)))
    return ParsedReport("crash report", modules(), threads, _reason(info), build_ids=build_ids)


def _build_id(entry: Json) -> str:
    """Return the code id of a module as a build id; "" where it is none."""
    try:
        return build_id_of(normal_code_id(_text(entry, "code_id")), _text(entry, "debug_id"))
    except BadModule:
        return ""


def _crashing_thread(info: Any, dump: Json) -> int | None:
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


def _module(entry: Json) -> ReportModule:
    return ReportModule(_text(entry, "debug_file"), _text(entry, "debug_id"))


def _spans(entries: list[Json]) -> Iterator[ModuleRange]:
    for entry in entries:
        start, end = _number(entry, "base_addr"), _number(entry, "end_addr")
        if start is not None:
            yield ModuleRange(start, end or 0, _module(entry))


def _crash_frame(modules: ModuleTable, by_name: dict[str, ReportModule], frame: Json) -> ReportFrame:
    given, module = _text(frame, "function"), by_name.get(_text(frame, "module"))
    # No `bytes_before`: these stackwalkers write the address of the call, not the return address.
    offset = _number(frame, "module_offset")
    if module is not None and offset is not None:
        return ReportFrame(modules.number(module), offset, given)
    return modules.frame(_number(frame, "offset") or 0, given)


def _ping(document: Json) -> ParsedReport | None:
    """Return the report in a Firefox crash ping."""
    payload = document.get("payload", document)
    traces = payload.get("stackTraces", payload.get("stack_traces")) if isinstance(payload, dict) else None
    if not isinstance(traces, dict) or not (entries := _dicts(traces, "modules")):
        return None
    modules, info = ModuleTable(_spans(entries)), traces.get("crash_info")
    crashing = _crashing_thread(info, {})
    threads = tuple(
        Thread(
            f"Thread {number}",
            tuple(modules.frame(_number(frame, "ip") or 0) for frame in _dicts(thread, "frames")),
            number == crashing,
        )
        for number, thread in enumerate(_dicts(traces, "threads"))
    )
    return ParsedReport("crash ping", modules(), threads, _reason(info))


def _apple(document: Json) -> ParsedReport | None:
    """Return the report in an Apple .ips document."""
    images = [_image(entry) for entry in _dicts(document, "usedImages")]
    if not images:
        return None
    modules, faulting = ModuleTable(), document.get("faultingThread")
    threads = tuple(
        Thread(
            f"Thread {number} {_text(thread, 'name', 'queue')}".strip(),
            tuple(
                _apple_frame(modules, images, depth, frame)
                for depth, frame in enumerate(_dicts(thread, "frames"))
            ),
            number == faulting,
        )
        for number, thread in enumerate(_dicts(document, "threads"))
    )
    exception = document.get("exception")
    reason = _text(exception, "type", "signal") if isinstance(exception, dict) else ""
    return ParsedReport("Apple crash report", modules(), threads, reason)


def _image(entry: Json) -> ReportModule:
    return ReportModule(_text(entry, "name"), apple_id(_text(entry, "uuid")))


def apple_id(uuid: str) -> str:
    """Return the debug id of a Mach-O file: its UUID, and an age of 0."""
    return f"{uuid.replace('-', '').upper()}0" if uuid else ""


def _apple_frame(modules: ModuleTable, images: list[ReportModule], depth: int, frame: Json) -> ReportFrame:
    index, offset = frame.get("imageIndex"), _number(frame, "imageOffset")
    if not isinstance(index, int) or offset is None or not 0 <= index < len(images):
        return ReportFrame(None, offset or 0, _text(frame, "symbol"))
    return ReportFrame(
        modules.number(images[index]), max(0, offset - bytes_before(depth)), _text(frame, "symbol")
    )
