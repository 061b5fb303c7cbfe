"""Open handles of a process of Windows, or open files of one of Linux."""

from __future__ import annotations

from struct import Struct
from typing import Final

from tecken.symbolication.minidump.dump_bytes import DumpBytes

MAX_HANDLES: Final = 16384

_HANDLE_DATA: Final = 12
# Handle, RVAs of the names of its type and of the object. Longer descriptors begin with the same fields.
_LAYOUT: Final = Struct("<QII16x")


def read_handles(dump: DumpBytes) -> list[dict[str, str | int | None]] | None:
    """Return the handles, with the names of their type and object; None if the dump does not have them.

    The name of a file is its path.
    """
    return dump.read_stream(
        _HANDLE_DATA,
        "list of handles",
        lambda stream: [
            {
                "handle": handle,
                "type_name": dump.text(type_name) if type_name else None,
                "object_name": dump.text(name) if name else None,
            }
            for handle, type_name, name in dump.wide_records(stream, _LAYOUT, "handles", MAX_HANDLES)
        ],
        None,
    )
