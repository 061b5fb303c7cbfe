"""The `symbolic` library's answers, in our words."""

from __future__ import annotations

from symbolic.debuginfo import Archive
from symbolic.symcache import SymCache

from tecken.symbols.lookup import Frame, Inline
from tecken.symbols.pagefile.func_record import UNKNOWN


class Oracle:
    def __init__(self, sym: bytes) -> None:
        self._sym = sym  # the archive borrows it and keeps no reference
        self._archive = Archive.from_bytes(sym)
        (symbols,) = self._archive.iter_objects()
        self._cache = SymCache.from_object(symbols)  # type: ignore[no-untyped-call]

    def frame(self, offset: int) -> Frame | None:
        found = self._cache.lookup(offset)
        if not found:
            return None
        *inner, (function, file, line) = (
            (place.symbol or "", place.full_path or "", place.line) for place in found
        )
        inlines = tuple(Inline(name or UNKNOWN, *place) for name, *place in inner)
        return Frame(function, found[-1].sym_addr, file, line, inlines)
