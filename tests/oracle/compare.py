"""Compares every answer that may change between two neighbouring offsets with the `symbolic` library's."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tecken.symbols.lookup import Frame
from tests.oracle.module import PagedModule
from tests.oracle.symcache import Oracle

_FUNC = re.compile(rb"^FUNC (?:m )?([0-9a-fA-F]+) ([0-9a-fA-F]+)", re.M)
_PUBLIC = re.compile(rb"^PUBLIC (?:m )?([0-9a-fA-F]+)()", re.M)
_LINE = re.compile(rb"^([0-9a-fA-F]+) ([0-9a-fA-F]+) [0-9-]", re.M)
_INLINE = re.compile(rb"^INLINE [0-9]+ [0-9]+ [0-9]+ [0-9]+ (.+)$", re.M)
_PAIR = re.compile(rb"([0-9a-fA-F]+) ([0-9a-fA-F]+)")


class Difference(NamedTuple):
    offset: int
    ours: Frame | None
    theirs: Frame | None


def differences(
    sym: bytes, offsets: Iterable[int] | None = None, form: type[PagedModule] = PagedModule
) -> Iterator[Difference]:
    """Yield where the answers differ; the library has no sizes of functions."""
    ours, theirs = form(sym), Oracle(sym)
    for offset in interesting(sym) if offsets is None else offsets:
        frame = ours.frame(offset)
        difference = Difference(offset, frame and frame._replace(size=0), ours.visible(theirs.frame(offset)))
        if difference.ours != difference.theirs:
            yield difference


def interesting(sym: bytes) -> list[int]:
    """Each boundary of each record, with the offsets before and after it."""
    text = sym.partition(b"\nSTACK ")[0]
    pairs = [pair for record in (_FUNC, _PUBLIC, _LINE) for pair in record.findall(text)]
    pairs += [pair for ranges in _INLINE.findall(text) for pair in _PAIR.findall(ranges)]
    numbers = {(int(start, 16), int(size or b"0", 16)) for start, size in pairs}
    edges = {edge for start, size in numbers for edge in (start, start + size)}
    return sorted({edge + step for edge in edges for step in (-1, 0, 1) if edge + step >= 0})
