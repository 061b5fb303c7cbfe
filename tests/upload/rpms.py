"""Valid and hostile RPM packages."""

from __future__ import annotations

import stat
from collections.abc import Iterable, Mapping
from struct import pack

REGULAR, LINK, DIRECTORY = stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755


def rpm(payload: bytes) -> bytes:
    """Return a package with this packed archive of its files."""
    lead = b"\xed\xab\xee\xdb\x03\x00" + bytes(90)
    # The signature ends at an address that is filled.
    return lead + _header(b"signature") + bytes(5) + _header(b"name\0and more") + payload


def _header(data: bytes) -> bytes:
    return pack(">3sB4xII", b"\x8e\xad\xe8", 1, 2, len(data) + 2) + bytes(32) + data + b"\0\0"


def cpio(files: Mapping[str, bytes] | Iterable[tuple[str, int, bytes]], *, ends: bool = True) -> bytes:
    """Return a cpio archive of regular files, or of entries with any mode."""
    entries = [(name, REGULAR, data) for name, data in files.items()] if isinstance(files, Mapping) else files
    last = [("TRAILER!!!", 0, b"")] if ends else []
    return b"".join(_member(*entry) for entry in [*entries, *last])


def _member(name: str, mode: int, content: bytes) -> bytes:
    encoded = name.encode() + b"\0"
    fields = (1, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(encoded), 0)
    header = b"070701" + b"".join(b"%08x" % field for field in fields)
    return _filled(header + encoded) + _filled(content)


def _filled(content: bytes) -> bytes:
    return content + bytes(-len(content) % 4)
