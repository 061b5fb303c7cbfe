"""Events of Sentry as JSON: the images of `debug_meta`, and `instruction_addr` of the frames.

A stack trace has the innermost frame last. `debug_id` is a UUID with the age after a dash. An address can be
relative to an image: `"addr_mode": "rel:0"`. One is subtracted from return addresses, except in the innermost
frame, unless `instruction_addr_adjustment` is `all` or `none`.

Source: Sentry, Developer Documentation, Event Payloads: debugmeta, stacktrace.
"""

from __future__ import annotations

from collections.abc import Iterator

from tecken.symbolication.crash_reports.json_values import (
    Json,
    find_number,
    find_objects,
    find_text,
)
from tecken.symbolication.crash_reports.module_table import ModuleRange, ModuleTable, file_name
from tecken.symbolication.crash_reports.parsed_report import (
    PER_CALLER,
    ParsedReport,
    ReportFrame,
    ReportModule,
    Thread,
    bytes_before,
)
from tecken.symbols.ids import GUID_DIGITS, build_id_of
from tecken.symbols.ids import code_id as normal_code_id

RELATIVE = "rel:"
REMEDY = "It has no debug images with ids: send the JSON of an event whose `debug_meta` has them."


def parse(document: Json) -> ParsedReport | None:
    """Return the report in an event of Sentry."""
    meta = document.get("debug_meta")
    exceptions = find_objects(document.get("exception"), "values")
    stacks = [(value, "exception") for value in exceptions]
    stacks += [(value, "thread") for value in find_objects(document.get("threads"), "values")]
    if not any(isinstance(value.get("stacktrace"), dict) for value, _ in stacks):
        return None
    images = find_objects(meta, "images")
    modules = [_module(image) for image in images]
    table = ModuleTable(_spans(images, modules))
    threads = tuple(
        thread for value, kind in stacks if (thread := _thread(table, modules, value, kind)).frames
    )
    reason = (
        ": ".join(filter(None, (find_text(exceptions[0], "type"), find_text(exceptions[0], "value"))))
        if exceptions
        else ""
    )
    build_ids = tuple(build_id for image in images if (build_id := _build_id(image)))
    return ParsedReport("Sentry event", table(), threads, reason, (), build_ids, REMEDY)


def _module(image: Json) -> ReportModule:
    name = find_text(image, "debug_file") or find_text(image, "code_file", "name")
    digits = (find_text(image, "debug_id") or find_text(image, "uuid", "id")).replace("-", "").upper()
    return ReportModule(file_name(name), f"{digits}0" if len(digits) == GUID_DIGITS else digits)


def _build_id(image: Json) -> str:
    code_id = find_text(image, "code_id")
    if find_text(image, "type") != "elf" or not code_id.replace("-", "").isalnum():
        return ""
    try:
        return build_id_of(normal_code_id(code_id), _module(image).debug_id)
    except ValueError:
        return ""


def _spans(images: list[Json], modules: list[ReportModule]) -> Iterator[ModuleRange]:
    for image, module in zip(images, modules, strict=True):
        start, size = find_number(image, "image_addr"), find_number(image, "image_size")
        if start is not None:
            yield ModuleRange(start, start + size if size else 0, module)


def _thread(table: ModuleTable, modules: list[ReportModule], value: Json, kind: str) -> Thread:
    trace = value.get("stacktrace")
    frames = list(reversed(find_objects(trace, "frames")))
    adjustment = find_text(trace, "instruction_addr_adjustment") if isinstance(trace, dict) else ""
    rows = tuple(
        _frame(table, modules, frame, _before(adjustment, number)) for number, frame in enumerate(frames)
    )
    name = (
        find_text(value, "name") or str(value.get("id", "")) if kind == "thread" else find_text(value, "type")
    )
    return Thread(
        f"{kind.capitalize()} {name}".strip(), rows, value.get("crashed") is True or kind == "exception"
    )


def _before(adjustment: str, number: int) -> int:
    return {"all": PER_CALLER, "none": 0}.get(adjustment, bytes_before(number))


def _frame(table: ModuleTable, modules: list[ReportModule], frame: Json, before: int) -> ReportFrame:
    given, address = find_text(frame, "function"), find_number(frame, "instruction_addr")
    if address is None:
        return ReportFrame(None, 0, given or find_text(frame, "filename"))
    mode = find_text(frame, "addr_mode")
    if mode.startswith(RELATIVE):
        number = mode.removeprefix(RELATIVE)
        if number.isdecimal() and len(number) < 6 and int(number) < len(modules):
            return ReportFrame(table.number(modules[int(number)]), max(0, address - before), given)
        return ReportFrame(None, address, given)
    return table.frame(address, given, before)
