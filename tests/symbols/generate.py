"""Strategies for well-formed Breakpad symbol files with every variation that the format allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from hypothesis import strategies as st

Draw = Callable[[st.SearchStrategy[Any]], Any]

FILES = (
    "src/main.c",
    "/usr/include/x y.h",
    "C:\\build\\..\\a.cpp",
    "hg:hg.example.org/x:toolkit/é.cpp:abc",
    "./b/../c.rs",
)
NAMES = (
    "main",
    "operator new(unsigned long)",
    "<impl Foo for Bar>::baz",
    "naïve()",
    "",
    "m",
    "~T [clone .cold]",
)
MODULE = "MODULE Linux x86_64 4FB5EFB2CE6C9F4C7A94D6E3A8C5FFA50 a.out"

# Made once: a strategy that is made for each draw is checked for each draw.
_offsets = st.integers(0, 40)
_names = st.sampled_from(NAMES)
_origins = st.integers(0, len(NAMES))
_gaps = st.sampled_from((0, 0, 1, 8))
_counts = st.integers(0, 4)
_depths = st.integers(0, 3)
_groupings = st.integers(0, 2)
_cuts = st.sets(_offsets, max_size=5)
_lines = st.integers(-1, 99)
_call_lines = st.integers(0, 9)
_digits = st.sampled_from("xxX")
_booleans = st.booleans()
_lengths = st.sampled_from(("whole", "whole", "whole", "whole", "half", "none"))
_endings = st.sampled_from(([], [""], ["STACK CFI INIT 0 10 .cfa: $rsp 8 +", "FUNC 0 ffff 0 late"]))
_newlines = st.sampled_from(("\n", "\r\n"))
# Includes a number without a FILE record.
_numbers = st.integers(0, len(FILES))
_some = st.integers(0, 3).map(lambda n: n == 0)


class Span(NamedTuple):
    start: int
    end: int
    depth: int


@st.composite
def sym_files(draw: Draw) -> bytes:
    """Generate FUNC records in any order. Functions, lines, and inlined calls of one depth do not overlap."""
    blocks, end, covered = [], draw(_offsets), 0
    for _ in range(draw(_counts)):
        start = end + draw(_gaps)
        end = start + draw(_offsets)
        covered += end - start
        blocks.append(_block(draw, start, end))
    public = st.builds(_public, st.integers(0, end + 10), _booleans, _names)
    blocks += [[record] for record in draw(st.lists(public, min_size=not covered, max_size=4))]
    records = [MODULE, "INFO CODE_ID 4FB5EFB2"]
    records += [f"FILE {number} {path}" for number, path in enumerate(FILES)]
    records += [f"INLINE_ORIGIN {number} {name}" for number, name in enumerate(NAMES) if name]
    records += [record for block in draw(st.permutations(blocks)) for record in block]
    records += draw(_endings)
    newline: str = draw(_newlines)
    return newline.join(records).encode()


def _public(address: int, multiple: bool, name: str) -> str:
    return f"PUBLIC {'m ' * multiple}{address:x} 0 {name}".rstrip()


def _block(draw: Draw, start: int, end: int) -> list[str]:
    digits = draw(_digits)
    head = f"FUNC {'m ' * draw(_some)}{start:{digits}} {end - start:{digits}} 0 {draw(_names)}"
    inlines = [_inline(draw, spans, digits) for spans in _groups(draw, list(_calls(draw, start, end, 0)))]
    lines = [_line(draw, span, digits) for span in _cut(draw, start, end, 0) if not draw(_some)]
    body = [*inlines, *lines]
    return [head.rstrip(), *(draw(st.permutations(body)) if draw(_some) else body)]


def _calls(draw: Draw, start: int, end: int, depth: int) -> Iterator[Span]:
    """Generate inlined calls, each inside its caller; neighbours may touch."""
    if depth > draw(_depths):
        return
    for span in _cut(draw, start, end, depth):
        if draw(_booleans):
            yield span
            yield from _calls(draw, span.start, span.end, depth + 1)


def _cut(draw: Draw, start: int, end: int, depth: int) -> Iterator[Span]:
    if start < end:
        cuts = {start + cut % (end - start + 1) for cut in draw(_cuts)}
        yield from (Span(a, b, depth) for a, b in pairwise(sorted({start, end, *cuts})))


def _groups(draw: Draw, calls: list[Span]) -> Iterator[list[Span]]:
    """Generate the ranges of each INLINE record: one or more of one depth."""
    by_depth = sorted(calls, key=lambda span: (span.depth, span.start))
    for _, spans in groupby(by_depth, key=lambda span: (span.depth, draw(_groupings))):
        yield list(spans)


def _inline(draw: Draw, spans: list[Span], digits: str) -> str:
    if draw(_booleans):
        spans = _merged(spans)
    ranges = " ".join(f"{span.start:{digits}} {span.end - span.start:{digits}}" for span in spans)
    return f"INLINE {spans[0].depth} {draw(_call_lines)} {draw(_numbers)} {draw(_origins)} {ranges}"


def _merged(spans: list[Span]) -> list[Span]:
    """Merge neighbours that touch, even with different callers, as real writers do."""
    merged = spans[:1]
    for span in spans[1:]:
        if span.start == merged[-1].end:
            merged[-1] = merged[-1]._replace(end=span.end)
        else:
            merged.append(span)
    return merged


def _line(draw: Draw, span: Span, digits: str) -> str:
    """Generate lengths: most reach to the next record, some end before it, some are 0."""
    whole = span.end - span.start
    size = {"whole": whole, "half": whole // 2, "none": 0}[draw(_lengths)]
    return f"{span.start:{digits}} {size:{digits}} {draw(_lines)} {draw(_numbers)}"
