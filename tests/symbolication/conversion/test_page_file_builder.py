"""Conversions on a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.symbolication.conversion.page_file_builder import Conversion
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
