"""Conversions on a full disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from tecken.errors import Unavailable
from tecken.symbolication.conversion.page_file_builder import Conversion
from tests.support.small_disk import small_disk

HEAD = b"MODULE Linux x86_64 DADBB96C91ED58F912FB09F7F2655E6F0 crash-c\n"
FUNCTIONS = [f"FUNC {number:x}0 10 0 function_{number}\n".encode() for number in range(0x1000, 0x9000)]


@pytest.mark.parametrize("leave", [0, 64 << 10, 996 << 10, 1020 << 10])
def test_builder_full_disk_raises_unavailable_at_any_write(tmp_path: Path, leave: int) -> None:
    """Fill the disk at the first write, in the middle, or when the last buffers are written."""
    with small_disk(tmp_path / "small") as disk:
        conversion = Conversion(lambda: 1 << 30, str(disk.directory))
        disk.fill(leave)
        with pytest.raises(Unavailable, match="no room to convert in"), conversion.of([HEAD, *FUNCTIONS]):
            pass
