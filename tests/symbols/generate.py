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

_offsets = st.integers(0, 40)
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
    for _ in range(draw(st.integers(0, 4))):
        start = end + draw(st.sampled_from((0, 0, 1, 8)))
        end = start + draw(st.integers(0, 40))
        covered += end - start
        blocks.append(_block(draw, start, end))
    public = st.builds(_public, st.integers(0, end + 10), st.booleans(), st.sampled_from(NAMES))
    blocks += [[record] for record in draw(st.lists(public, min_size=not covered, max_size=4))]
    records = [MODULE, "INFO CODE_ID 4FB5EFB2"]
    records += [f"FILE {number} {path}" for number, path in enumerate(FILES)]
    records += [f"INLINE_ORIGIN {number} {name}" for number, name in enumerate(NAMES) if name]
    records += [record for block in draw(st.permutations(blocks)) for record in block]
    records += draw(st.sampled_from(([], [""], ["STACK CFI INIT 0 10 .cfa: $rsp 8 +", "FUNC 0 ffff 0 late"])))
    newline: str = draw(st.sampled_from(("\n", "\r\n")))
    return newline.join(records).encode()


def _public(address: int, multiple: bool, name: str) -> str:
    return f"PUBLIC {'m ' * multiple}{address:x} 0 {name}".rstrip()


def _block(draw: Draw, start: int, end: int) -> list[str]:
    digits = draw(st.sampled_from("xxX"))
    head = (
        f"FUNC {'m ' * draw(_some)}{start:{digits}} {end - start:{digits}} 0 {draw(st.sampled_from(NAMES))}"
    )
    inlines = [_inline(draw, spans, digits) for spans in _groups(draw, list(_calls(draw, start, end, 0)))]
    lines = [_line(draw, span, digits) for span in _cut(draw, start, end, 0) if not draw(_some)]
    body = [*inlines, *lines]
    return [head.rstrip(), *(draw(st.permutations(body)) if draw(_some) else body)]


def _calls(draw: Draw, start: int, end: int, depth: int) -> Iterator[Span]:
    """Generate inlined calls, each inside its caller; neighbours may touch."""
    if depth > draw(st.integers(0, 3)):
        return
    for span in _cut(draw, start, end, depth):
        if draw(st.booleans()):
            yield span
            yield from _calls(draw, span.start, span.end, depth + 1)


def _cut(draw: Draw, start: int, end: int, depth: int) -> Iterator[Span]:
    if start < end:
        cuts = draw(st.sets(st.integers(start, end), max_size=5))
        yield from (Span(a, b, depth) for a, b in pairwise(sorted({start, end, *cuts})))


def _groups(draw: Draw, calls: list[Span]) -> Iterator[list[Span]]:
    """Generate the ranges of each INLINE record: one or more of one depth."""
    by_depth = sorted(calls, key=lambda span: (span.depth, span.start))
    for _, spans in groupby(by_depth, key=lambda span: (span.depth, draw(st.integers(0, 2)))):
        yield list(spans)


def _inline(draw: Draw, spans: list[Span], digits: str) -> str:
    if draw(st.booleans()):
        spans = _merged(spans)
    ranges = " ".join(f"{span.start:{digits}} {span.end - span.start:{digits}}" for span in spans)
    line, file, origin = draw(st.tuples(st.integers(0, 9), _numbers, st.integers(0, len(NAMES))))
    return f"INLINE {spans[0].depth} {line} {file} {origin} {ranges}"


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
    size = draw(st.sampled_from((span.end - span.start,) * 4 + ((span.end - span.start) // 2, 0)))
    return f"{span.start:{digits}} {size:{digits}} {draw(st.integers(-1, 99))} {draw(_numbers)}"
