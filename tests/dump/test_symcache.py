"""Functions in the tables of `symbolic`, for tables that are made here."""

from __future__ import annotations

from collections.abc import Sequence
from struct import pack

import pytest

from tecken.dump.symcache import NONE, InlinedCall, SymCache, join
from tecken.errors import Malformed

Location = tuple[int, int, int, int]
NOWHERE = (NONE, NONE, NONE, NONE)


def table(rows: Sequence[Sequence[int]]) -> bytes:
    content = b"".join(pack(f"<{len(row)}I", *row) for row in rows)
    return content + bytes(-len(content) % 8)


def make(ranges: Sequence[tuple[int, Location]], calls: Sequence[Location] = ()) -> SymCache:
    """Return a SymCache with the files a and b, and the functions f, g and h."""
    strings = b"\x01a\x01b\x01f\x01g\x01h"
    files = [(NONE, NONE, at, NONE, NONE, NONE) for at in (0, 2)]
    functions = [(at, NONE, 0, 0) for at in (4, 6, 8)]
    locations = [*calls, *(location for _, location in ranges)]
    counts = (len(files), len(functions), len(locations), len(ranges), len(strings))
    header = pack("<4sI32s6I16x", b"SYMC", 9, b"", 0, *counts)
    tables = (table(files), table(functions), table(locations), table([(start,) for start, _ in ranges]))
    return SymCache(header + b"".join(tables) + strings)


def test_functions_of_neighbours_with_one_line_have_one_record() -> None:
    cache = make([(16, (0, 1, 0, NONE)), (18, (0, 1, 0, NONE)), (20, (0, 2, 0, NONE)), (24, NOWHERE)])
    (function,) = cache.functions()
    assert (cache.function_name(function.number), function.start, function.end) == (b"f", 16, 24)
    assert function.lines == [(16, 20, 0, 1), (20, 24, 0, 2)]


def test_functions_with_a_hole_are_one_function() -> None:
    cache = make([(16, (0, 1, 0, NONE)), (20, NOWHERE), (24, (0, 1, 0, NONE)), (28, NOWHERE)])
    (function,) = cache.functions()
    assert (function.start, function.end) == (16, 28)
    assert function.lines == [(16, 20, 0, 1), (24, 28, 0, 1)]


def test_functions_with_another_between_them_are_apart() -> None:
    cache = make([(16, (0, 1, 0, NONE)), (20, (0, 5, 1, NONE)), (24, (0, 1, 0, NONE)), (28, NOWHERE)])
    assert [(f.number, f.start, f.end) for f in cache.functions()] == [(0, 16, 20), (1, 20, 24), (0, 24, 28)]


def test_functions_have_inlined_calls_from_the_outside_to_the_inside() -> None:
    calls = [(0, 3, 0, NONE), (1, 7, 1, 0)]
    ranges = [
        (16, (0, 9, 2, 1)),
        (20, (0, 4, 1, 0)),
        (24, (0, 9, 2, 1)),
        (28, (0, 1, 0, NONE)),
        (32, NOWHERE),
    ]
    (function,) = make(ranges, calls).functions()
    assert dict(function.calls) == {
        InlinedCall(0, 3, 0, 1): [[16, 28]],
        InlinedCall(1, 7, 1, 2): [[16, 20], [24, 28]],
    }
    assert list(function.calls) == [InlinedCall(0, 3, 0, 1), InlinedCall(1, 7, 1, 2)]


def test_functions_without_file_have_no_line() -> None:
    (function,) = make([(16, (NONE, 5, 0, NONE)), (20, NOWHERE)]).functions()
    assert function.lines == [(16, 20, NONE, 0)]


def test_functions_of_the_last_range_have_an_end() -> None:
    (function,) = make([(16, (0, 1, 0, NONE))]).functions()
    assert (function.start, function.end) == (16, 32)


def test_functions_that_are_inlined_into_themselves_are_malformed() -> None:
    with pytest.raises(Malformed, match="inlined into itself"):
        list(make([(16, (0, 1, 0, 0))], [(0, 3, 0, 0)]).functions())


@pytest.mark.parametrize("content", [b"SYMC" + bytes(80), b"XXXX\x09" + bytes(79), b"SYMC"])
def test_symcache_of_another_layout_is_malformed(content: bytes) -> None:
    with pytest.raises(Malformed):
        SymCache(content)


@pytest.mark.parametrize(
    ("folder", "path", "expected"),
    [
        (b"/build", b"src/a.c", b"/build/src/a.c"),
        (b"/build/", b"a.c", b"/build/a.c"),
        (b"/build", b"/src/a.c", b"/src/a.c"),
        (b"C:\\build", b"a.c", b"C:\\build\\a.c"),
        (b"C:\\build", b"D:\\a.c", b"D:\\a.c"),
        (b"C:/build", b"a.c", b"C:/build/a.c"),
        (b"/build", b"", b"/build"),
        (b"", b"a.c", b"a.c"),
    ],
)
def test_join_path_is_absolute_if_its_folder_is(folder: bytes, path: bytes, expected: bytes) -> None:
    assert join(folder, path) == expected
