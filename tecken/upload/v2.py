"""The words of upload protocol v2: what a client announces, and what it is told to do with each file."""

from __future__ import annotations

import re
from typing import Any, Final, NamedTuple

import orjson

from tecken.errors import BadInput

MD5: Final = re.compile(r"[0-9a-f]{32}")
PROTOCOL: Final = "http-put"
TYPES: Final = {"key": str, "size": int, "md5_hash": str}


class Announced(NamedTuple):
    """A file that the client has: bytes and md5 (lower-case hex) before any compression."""

    key: str
    size: int
    md5_hash: str


def announced(body: bytes, most: int) -> list[Announced]:
    """Raises BadInput for anything but a list of at most `most` files; what they say is not judged here."""
    try:
        files = [_file(entry) for entry in orjson.loads(body)["files"]]
    except (ValueError, KeyError, TypeError):
        raise BadInput("malformed JSON request body") from None
    if len(files) > most:
        raise BadInput("too many files")
    return files


def _file(entry: dict[str, Any]) -> Announced:
    for name, kind in TYPES.items():
        if type(entry[name]) is not kind:
            raise TypeError(name)
    return Announced(*(entry[name] for name in TYPES))
