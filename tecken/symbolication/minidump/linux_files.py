"""Files of Linux in a dump: copies of /proc/cpuinfo, /proc/<pid>/status, /proc/<pid>/maps and others."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from tecken.errors import Malformed
from tecken.symbolication.minidump.dump_bytes import DumpBytes
from tecken.symbolication.minidump.protections import MappedRange

_CPU_INFO: Final = 0x4767_0003
_PROC_STATUS: Final = 0x4767_0004
_LSB_RELEASE: Final = 0x4767_0005
_MAPS: Final = 0x4767_0009
_PROC_LIMITS: Final = 0x4D7A_0003
# What is read of other files is in their first lines.
MAX_FILE_BYTES: Final = 64 << 10
# Linux allows a process 65,530 mappings, of about 100 bytes each.
MAX_MAPS_BYTES: Final = 16 << 20
MAX_MAPPINGS: Final = 1 << 17
_MICROCODE: Final = re.compile(r"0x([0-9A-Fa-f]{1,16})")
_MAPPING: Final = re.compile(
    rb"([0-9a-fA-F]{1,16})-([0-9a-fA-F]{1,16}) ([-rwxsp]+) [0-9a-fA-F]+ [0-9a-fA-F]+:[0-9a-fA-F]+ [0-9]+ .*"
)
_LSB_NAMES: Final = {
    **dict.fromkeys((b"DISTRIB_ID", b"ID"), "id"),
    **dict.fromkeys((b"DISTRIB_RELEASE", b"VERSION_ID"), "release"),
    **dict.fromkeys((b"DISTRIB_CODENAME", b"VERSION_CODENAME"), "codename"),
    **dict.fromkeys((b"DISTRIB_DESCRIPTION", b"PRETTY_NAME"), "description"),
}


def read_microcode(dump: DumpBytes) -> int | None:
    """Return the version of the processor's microcode, which /proc/cpuinfo has for x86."""
    for key, value in _pairs(_file(dump, _CPU_INFO, "/proc/cpuinfo") or b"", b":"):
        if key == b"microcode":
            found = _MICROCODE.fullmatch(str(value, "utf-8", "replace"))
            return int(found[1], 16) if found else None
    return None


def read_process_id(dump: DumpBytes) -> int | None:
    """Return the id of the process in /proc/<pid>/status, 0 if it is not in the file."""
    content = _file(dump, _PROC_STATUS, "/proc/<pid>/status")
    if content is None:
        return None
    value = next((value for key, value in _pairs(content, b":") if key == b"Pid"), b"")
    number = int(value) if value.isdigit() and len(value) <= 10 else 0
    return number if number < 1 << 32 else 0


def read_release(dump: DumpBytes) -> dict[str, str] | None:
    """Return the distribution in /etc/lsb-release or /etc/os-release."""
    content = _file(dump, _LSB_RELEASE, "/etc/lsb-release")
    if content is None:
        return None
    release = dict.fromkeys(("id", "release", "codename", "description"), "")
    for key, value in _pairs(content, b"="):
        if key in _LSB_NAMES and dump.spend_text(len(value)):
            release[_LSB_NAMES[key]] = str(value, "utf-8", "replace")
    return release


def read_mappings(dump: DumpBytes) -> list[MappedRange] | None:
    """Return the lines of /proc/<pid>/maps; None if one of them is no mapping."""
    return dump.read_stream(_MAPS, "copy of /proc/<pid>/maps", _read_mappings, None)


def _read_mappings(stream: memoryview) -> list[MappedRange]:
    content = bytes(stream[:MAX_MAPS_BYTES])
    if len(stream) > MAX_MAPS_BYTES or content.count(b"\n") > MAX_MAPPINGS:
        raise Malformed(f"it has more than {MAX_MAPPINGS} lines or {MAX_MAPS_BYTES} bytes")
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    mappings = []
    for line in lines:
        found = _MAPPING.fullmatch(line)
        if not found:
            raise Malformed("one of its lines is no mapping")
        base, end = int(found[1], 16), int(found[2], 16)
        letters = "".join(letter for letter in "rwx" if letter.encode() in found[3])
        mappings.append(MappedRange(base, max(end - base, 0), letters))
    return mappings


def read_limits(dump: DumpBytes) -> dict[str, object] | None:
    """Return the limits of the process in /proc/<pid>/limits."""
    content = _file(dump, _PROC_LIMITS, "/proc/<pid>/limits")
    if content is None:
        return None
    lines = [line for line in content.split(b"\n") if line]
    limits = {}
    for line in lines[1:]:
        columns = [column for column in str(line, "utf-8", "replace").split("  ") if column]
        if len(columns) >= 3:
            unit = columns[3].strip() if len(columns) > 3 else "n/a"
            limits[columns[0].strip()] = (_limit(columns[1]), _limit(columns[2]), unit)
    return {
        "limits": [
            {"name": name, "soft": soft, "hard": hard, "unit": unit}
            for name, (soft, hard, unit) in limits.items()
        ]
    }


def _limit(text: str) -> str | int:
    """Return a number, 0 for anything that is none, as in rust-minidump, or "unlimited"."""
    text = text.strip()
    if text == "unlimited":
        return text
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


def _file(dump: DumpBytes, kind: int, name: str) -> bytes | None:
    return dump.read_stream(kind, f"copy of {name}", lambda stream: bytes(stream[:MAX_FILE_BYTES]), None)


def _pairs(content: bytes, separator: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield the keys and values of the lines that have both, without white space and quotes around them."""
    for line in content.split(b"\n"):
        key, found, value = line.partition(separator)
        if found:
            yield _bare(key), _bare(value)


def _bare(text: bytes) -> bytes:
    text = text.strip(b" \t\n\f\r")
    return text[1:-1] if len(text) > 1 and text[:1] == text[-1:] == b'"' else text
