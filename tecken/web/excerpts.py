"""Source lines around the frames of one page, for viewers who may read source code.

Their cost is bounded for the whole page: files that are looked up, bytes that are unpacked, and seconds.
Frames beyond the bounds, and those whose source is not there, have no lines.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError

from tecken.errors import BadModule, NotFound, Unavailable
from tecken.http.decorators import VIEW_SOURCES
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.source_code import find_source, read_source
from tecken.symbolication.symbolicated import Excerpt, ExcerptLine
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id

LINES_AROUND: Final = 3
MAX_FILES: Final = 50
MAX_BYTES: Final = 16 << 20
MAX_SECONDS: Final = 3.0
MAX_LINE: Final = 300
TAB_WIDTH: Final = 4


class Excerpts:
    """Source files of one page, each read once."""

    def __init__(self) -> None:
        self._files: dict[tuple[str, str], Sequence[str]] = {}
        self._bytes_left = MAX_BYTES
        self._end = time.monotonic() + MAX_SECONDS

    def around(self, module: tuple[str, str], file: str, line: int | None) -> Excerpt:
        """Return the lines around a line of a file of a module, by its debug file and debug id."""
        if not line:
            return ()
        key = module[1], file
        if key not in self._files:
            if len(self._files) >= MAX_FILES or time.monotonic() > self._end:
                return ()
            self._files[key] = self._read(module, file)
        first = max(0, line - 1 - LINES_AROUND)
        lines = self._files[key][first : line + LINES_AROUND]
        # A file of another build may be shorter.
        if first + len(lines) < line:
            return ()
        return tuple(
            ExcerptLine(number, text.expandtabs(TAB_WIDTH)[:MAX_LINE], number == line)
            for number, text in enumerate(lines, first + 1)
        )

    def _read(self, module: tuple[str, str], file: str) -> Sequence[str]:
        try:
            debug_id = ObjectId.parse(*module).debug_id
            found = find_source((debug_id, *debug_ids_of_code_id(debug_id)), file, with_try=False)
            if found.size > self._bytes_left:
                return ()
            self._bytes_left -= found.size
            content = read_source(storage_services.own_files(), found)
        except (BadModule, NotFound, Unavailable):
            return ()
        # Not splitlines(), which counts form feeds and other characters as ends of lines.
        lines = content.removesuffix(b"\n").decode(errors="replace").split("\n")
        return [line.removesuffix("\r") for line in lines]


def excerpts_for(user: User | AnonymousUser) -> Excerpts | None:
    """Return the source files for a page; None for a user who may not read source code."""
    try:
        may_read = options().source_code_public or user.has_perm(VIEW_SOURCES)
    except DatabaseError:
        return None
    return Excerpts() if may_read else None
