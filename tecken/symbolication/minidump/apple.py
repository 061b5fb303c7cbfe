"""Parts of dumps of macOS that Mozilla's writer adds: messages of crashed libraries, and boot arguments."""

from __future__ import annotations

from struct import Struct
from typing import Final

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump_bytes import DumpBytes, unpack
from tecken.symbolication.minidump.system_info import hex_address

_CRASH_INFO: Final = 0x4D7A_0001
_BOOT_ARGS: Final = 0x4D7A_0002
MAX_RECORDS: Final = 20
# Stream type, number of records, where their strings start, and 20 places of records.
_HEADER: Final = Struct("<III")
_PLACES: Final = Struct(f"<{2 * MAX_RECORDS}I")
_VERSION: Final = Struct("<QQ")
# Fields by the version of the record that added them.
_FIELDS: Final = ((4, "thread"), (4, "dialog_mode"), (5, "abort_cause"))
_TEXTS: Final = ("module", "message", "signature_string", "backtrace", "message2")
_BOOT_LAYOUT: Final = Struct("<IQ")

CrashRecord = dict[str, str | None]


def read_crash_info(dump: DumpBytes, cpu: str) -> dict[str, object] | None:
    """Return the records of __crash_info sections. Texts that are empty and numbers that are 0 are None."""
    records = dump.read_stream(
        _CRASH_INFO, "crash info of macOS", lambda part: _records(dump, part, cpu), None
    )
    return None if records is None else {"num_records": len(records), "records": records}


def read_boot_args(dump: DumpBytes) -> str | None:
    """Return the arguments with which the kernel was started."""
    return dump.read_stream(
        _BOOT_ARGS, "boot arguments", lambda part: dump.text(unpack(_BOOT_LAYOUT, part)[1]), None
    )


def _records(dump: DumpBytes, stream: memoryview, cpu: str) -> list[CrashRecord]:
    _, count, texts_start = unpack(_HEADER, stream)
    places = unpack(_PLACES, stream, _HEADER.size)
    records = []
    versions = set()
    for number in range(min(count, MAX_RECORDS)):
        content = dump.part(*places[2 * number : 2 * number + 2])
        version = unpack(_VERSION, content)[1]
        versions.add(version)
        if len(versions) > 1:
            raise Malformed("its records have different versions")
        if version:
            records.append(_record(dump, content, version, texts_start, cpu))
    return records


def _record(dump: DumpBytes, content: memoryview, version: int, texts_start: int, cpu: str) -> CrashRecord:
    names = [name for since, name in _FIELDS if version >= since]
    values = unpack(Struct(f"<{len(names)}Q"), content, _VERSION.size)
    if texts_start < _VERSION.size + 8 * len(names):
        raise Malformed("its texts begin inside of its numbers")
    record: CrashRecord = dict.fromkeys(("thread", "dialog_mode", "abort_cause", *_TEXTS))
    record.update(
        (name, hex_address(value, cpu) if value else None) for name, value in zip(names, values, strict=True)
    )
    if version >= 4:
        record.update(zip(_TEXTS, _texts(dump, content[texts_start:]), strict=True))
    return record


def _texts(dump: DumpBytes, content: memoryview) -> list[str | None]:
    """Return the strings one after the other, each with a zero byte at its end; None if it is empty."""
    if not dump.spend_text(len(content)):
        raise Malformed("its texts are too long")
    texts = bytes(content).split(b"\0", len(_TEXTS))
    if len(texts) <= len(_TEXTS):
        raise Malformed("its texts are cut")
    try:
        return [str(text, "utf-8") or None for text in texts[: len(_TEXTS)]]
    except UnicodeDecodeError as error:
        raise Malformed("its texts are not in UTF-8") from error
