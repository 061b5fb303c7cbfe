from __future__ import annotations

import pytest

from tecken.symbolication.crash_reports.module_table import FIXED_BASE, FIXED_END, ModuleTable


@pytest.mark.parametrize(
    ("offset", "address", "expected"),
    [
        (FIXED_BASE, FIXED_BASE, 0),
        (FIXED_END - 1, FIXED_END - 1, FIXED_END - 1 - FIXED_BASE),
        # An offset in a program that is loaded anywhere, one below the base, and a library that lies higher.
        (FIXED_BASE, 0x555555555000 + FIXED_BASE, FIXED_BASE),
        (FIXED_BASE - 1, FIXED_BASE - 1, FIXED_BASE - 1),
        (FIXED_END, FIXED_END, FIXED_END),
        (FIXED_BASE, 0, FIXED_BASE),
    ],
)
def test_image_base_is_subtracted_from_addresses_of_a_fixed_program(
    offset: int, address: int, expected: int
) -> None:
    table = ModuleTable()
    assert table.frame_in("/opt/app", offset, address=address).offset == expected
    assert bool(table.remarks) == (offset != expected)
