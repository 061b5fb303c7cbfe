"""First bytes of the files that are processed as dumps: minidumps and core files."""

from __future__ import annotations

from typing import Final

ELF: Final = b"\x7fELF"
MINIDUMP: Final = b"MDMP"
HEAD_BYTES: Final = 18
NOT_A_DUMP: Final = "The file is not a minidump or core file: it does not begin with MDMP or as an ELF core"
# Byte order, and the type of the file in it. A big-endian core is refused when it is read, with the reason.
_ORDER: Final = slice(5, 6)
_TYPE: Final = slice(16, HEAD_BYTES)
_CORES: Final = {(b"\1", b"\4\0"), (b"\2", b"\0\4")}


def is_core(head: bytes) -> bool:
    """Return whether these are the first HEAD_BYTES of an ELF core."""
    return head.startswith(ELF) and (head[_ORDER], head[_TYPE]) in _CORES


def is_dump(head: bytes) -> bool:
    """Return whether these are the first HEAD_BYTES of a minidump or an ELF core."""
    return head.startswith(MINIDUMP) or is_core(head)
