"""Which files an archive may have, and what they are called."""

from __future__ import annotations

import re

from tecken.errors import BadInput
from tecken.sources.port import FileKey
from tecken.symbols.ids import MAX_NAME

_ID = re.compile(r"[0-9A-Fa-f]{1,128}")
_NAME = re.compile(r"[^\x00-\x1f\x7f-\x9f/\\\ud800-\udfff]+")


def file_key(name: str) -> FileKey:
    """`xul.pdb/44e4.../xul.sym` -> its key, the id in upper case. Raises BadInput."""
    parts = name.split("/")
    if len(parts) != 3 or not all(map(_usable, parts)) or not _ID.fullmatch(parts[1]):
        raise BadInput(
            f"Unrecognized file pattern. Should only be <module>/<hex>/<file>, not {name[:MAX_NAME]}"
        )
    return FileKey(parts[0], parts[1].upper(), parts[2])


def _usable(part: str) -> bool:
    return part not in (".", "..") and len(part) <= MAX_NAME and bool(_NAME.fullmatch(part))
