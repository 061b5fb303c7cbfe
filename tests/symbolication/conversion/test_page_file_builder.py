"""Conversions on a full disk, and chunks that are read ahead."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.symbolication.conversion.page_file_builder import READ_AHEAD, Conversion, read_ahead
from tecken.symbols import engine
from tests.support.small_disk import small_disk

HEAD = b"MODULE Linux x86_64 DADBB96C91ED58F912FB09F7F2655E6F0 crash-c\n"
FUNCTIONS = [f"FUNC {number:x}0 10 0 function_{number}\n".encode() for number in range(0x1000, 0x9000)]


@pytest.mark.parametrize("leave", [0, 64 << 10, 996 << 10, 1012 << 10])
def test_builder_full_disk_raises_unavailable_at_any_write(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, leave: int
) -> None:
    """Fill the disk at the first write, in the middle, or when the last buffers are written."""
    monkeypatch.setattr(engine, "MODULE", None)
    check_full_disk(tmp_path, leave)


@pytest.mark.skipif(engine.MODULE is None, reason="the engine is not built (make engine)")
@pytest.mark.parametrize("leave", [0, 8 << 10, 24 << 10])
def test_builder_full_disk_raises_unavailable_with_the_engine(tmp_path: Path, leave: int) -> None:
    """Fill the disk with pages alone, because the engine keeps a small text in memory."""
    check_full_disk(tmp_path, leave)


def check_full_disk(tmp_path: Path, leave: int) -> None:
    with small_disk(tmp_path / "small") as disk:
        conversion = Conversion(lambda: 1 << 30, str(disk.directory))
        disk.fill(leave)
        with pytest.raises(Unavailable, match="no room to convert in"), conversion.of([HEAD, *FUNCTIONS]):
            pass


def test_read_ahead_gives_the_same_chunks() -> None:
    chunks = [b"%d" % number for number in range(100)]
    with read_ahead(chunks) as read:
        assert list(read) == chunks


def test_read_ahead_error_comes_after_the_chunks_before_it() -> None:
    def failing() -> Iterator[bytes]:
        yield from (b"1", b"2")
        raise Unavailable("the upstream does not answer")

    taken: list[bytes] = []
    with pytest.raises(Unavailable, match="the upstream"), read_ahead(failing()) as read:
        taken.extend(read)
    taken.clear()
    with read_ahead(failing()) as read:
        taken += [next(read), next(read)]
    assert taken == [b"1", b"2"]


def test_read_ahead_ended_early_stops_reading() -> None:
    produced = 0

    def endless() -> Iterator[bytes]:
        nonlocal produced
        while True:
            produced += 1
            yield b"more"

    with read_ahead(endless()) as read:
        assert next(read) == b"more"
    assert produced <= READ_AHEAD + 3
