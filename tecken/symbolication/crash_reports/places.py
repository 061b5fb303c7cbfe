"""Places in frames of text: a path and an offset in parentheses at the end of a line, with a build id.

    (/usr/bin/app+0x1130) (BuildId: 6cb9dbda...)
    (app + 0x1130)
    (/System/Library/libfoo.dylib:arm64+0x1130)

They are taken apart from the right and without regular expressions, because paths can contain spaces,
parentheses and plus signs.
"""

from __future__ import annotations

import re
from typing import NamedTuple

HEX_OFFSET = re.compile(r"[0-9A-Fa-f]{1,16}")
MARK = " (BuildId: "
ARCHITECTURES = frozenset(("arm64", "arm64e", "x86_64", "x86_64h", "i386", "armv7"))


class FilePlace(NamedTuple):
    """Offset in a file. `before` is the text before it."""

    before: str
    path: str
    offset: int
    build_id: str = ""


def split_build_id(text: str) -> tuple[str, str]:
    """Return the text before a build id at its end, and the build id or ""."""
    head, mark, tail = text.rpartition(MARK)
    return (head.rstrip(), tail[:-1]) if mark and tail.endswith(")") else (text, "")


def parse_place(text: str, plus: str = "+0x") -> FilePlace | None:
    """Return the place at the end of a text, or None."""
    head, build_id = split_build_id(text)
    if not head.endswith(")"):
        return None
    front, found, digits = head[:-1].rpartition(plus)
    if not found or not HEX_OFFSET.fullmatch(digits):
        return None
    start = _start(front)
    if start < 0:
        return None
    path = front[start:]
    name, colon, architecture = path.rpartition(":")
    if colon and architecture in ARCHITECTURES:
        path = name
    return FilePlace(front[: start - 1].rstrip(), path, int(digits, 16), build_id)


def _start(text: str) -> int:
    """Return where the path begins that follows the last parenthesis; absolute paths may contain others."""
    start = text.rfind("(/")
    if start < 0 and (drive := text.rfind(":\\")) > 1 and text[drive - 2] == "(":
        start = drive - 2
    return (start if start >= 0 else text.rfind("(")) + 1 or -1
