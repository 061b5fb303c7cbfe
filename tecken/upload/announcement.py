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
    """Return a list of at most `most` files; the caller judges each. Raises BadInput for any other body."""
    try:
        entries = orjson.loads(body)["files"]
        files = [_file(entry) for entry in entries]
    except (ValueError, KeyError, TypeError):
        raise BadInput("malformed JSON request body") from None
    if not isinstance(entries, list):
        raise BadInput("malformed JSON request body")
    if len(files) > most:
        raise BadInput("too many files")
    return files


def _file(entry: dict[str, Any]) -> Announced:
    for name, kind in TYPES.items():
        if type(entry[name]) is not kind:
            raise TypeError(name)
    return Announced(*(entry[name] for name in TYPES))
