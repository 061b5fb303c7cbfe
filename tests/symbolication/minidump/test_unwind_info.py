from __future__ import annotations

import io

import pytest

from tecken.symbolication.minidump.port import UnwindInfo
from tecken.symbolication.minidump.unwind_info import read_unwind_info, unwind_pages
from tecken.symbols.pagefile.convert import PageFileWriter
from tecken.symbols.pagefile.file import Header

NO_UNWIND_INFO = UnwindInfo("", (), 0)

MODULE = "MODULE Linux {} A1B2C3D4E5F60718293A4B5C6D7E8F900 libx.so\n"
FUNCTIONS = "FUNC 1000 40 c f\n1000 40 1 1\nFUNC 2000 40 10 g\n2000 40 1 1\nPUBLIC 3000 14 p\n"
INIT = "STACK CFI INIT 1000 40 .cfa: $rsp 8 + .ra: .cfa -8 + ^"
CHANGE = "STACK CFI 1004 .cfa: $rsp 16 +"
FRAME_DATA = "STACK WIN 4 1000 40 0 0 8 0 0 0 1 $T0 .raSearch ="
FPO = "STACK WIN 0 1010 8 0 0 4 0 0 0 0 1"


def read(arch: str, offset: int, *records: str) -> tuple[int, UnwindInfo]:
    """Return the number of pages that an offset needs, and its unwind information."""
    pages = io.BytesIO()
    writer = PageFileWriter(io.BytesIO(), pages, cfi=io.BytesIO())
    writer.feed((MODULE.format(arch) + FUNCTIONS + "\n".join((*records, ""))).encode())
    header: Header = writer.finish()
    file = header.raw + pages.getvalue()
    numbers = unwind_pages(header, offset)
    kept = header.load([file[slice(*header.span(number))] for number in numbers])
    return len(numbers), read_unwind_info(header, dict(zip(numbers, kept, strict=True)), offset)


def test_read_amd64_place_has_records_up_to_it() -> None:
    assert read("x86_64", 0x1003, INIT, CHANGE) == (1, UnwindInfo("", (INIT,), 0))
    assert read("x86_64", 0x1004, INIT, CHANGE) == (1, UnwindInfo("", (INIT, CHANGE), 0))


def test_read_place_without_records_has_none() -> None:
    assert read("x86_64", 0x1040, INIT) == (1, NO_UNWIND_INFO)
    assert read("x86_64", 0x10) == (0, NO_UNWIND_INFO)


@pytest.mark.parametrize("offset", [-1, 1 << 32, 1 << 64])
def test_read_offset_that_no_module_has_needs_no_pages(offset: int) -> None:
    assert read("x86", offset, FRAME_DATA) == (0, NO_UNWIND_INFO)


def test_read_win_records_count_for_x86_only() -> None:
    assert read("x86", 0x1000, FRAME_DATA) == (2, UnwindInfo(FRAME_DATA, (), 8))
    assert read("x86_64", 0x1000, FRAME_DATA) == (1, NO_UNWIND_INFO)


def test_read_parameters_of_win_record_are_preferred_to_those_of_function() -> None:
    assert read("x86", 0x1012, FPO) == (2, UnwindInfo(FPO, (), 4))
    assert read("x86", 0x1000, FPO)[1] == UnwindInfo("", (), 12)


def test_read_parameters_without_win_record_are_those_of_the_symbol() -> None:
    assert read("x86", 0x2001)[1] == UnwindInfo("", (), 16)
    assert read("x86", 0x3001)[1] == UnwindInfo("", (), 20)


def test_read_place_outside_of_functions_has_no_parameters() -> None:
    assert read("x86", 0x1800, "STACK WIN 4 1800 40 0 0 8 0 0 0 1 $T0 =")[1].parameter_bytes == 0
