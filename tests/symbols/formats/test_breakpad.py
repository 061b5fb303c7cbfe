from __future__ import annotations

import pytest

from tecken.symbols.formats import format_of, identify
from tecken.symbols.formats.base import Kind, ObjectInfo
from tecken.symbols.formats.breakpad import LINE_BYTES, Breakpad, SymbolCheck
from tecken.symbols.layouts import FileType
from tests.symbols.formats.test_formats import reader

ID = "44E4EC8C2F41492B9369D6B9A059577C2"


def test_identify_module_and_info_records_are_its_object() -> None:
    head = f"MODULE windows x86_64 {ID} xul.pdb\nINFO CODE_ID 5EE6E9E7 xul.dll\nINFO GENERATOR mozilla 1.0\n"
    (info,) = identify(reader(head.encode()))
    assert info == ObjectInfo(
        Kind.DEBUG, "breakpad", "x86_64", "xul.pdb", ID, "xul.dll", "5EE6E9E7", "", "mozilla 1.0"
    )


@pytest.mark.parametrize(("os", "build_id"), [("Linux", "ABCD1234"), ("Android", "ABCD1234"), ("mac", "")])
def test_identify_code_id_of_an_elf_system_is_the_build_id(os: str, build_id: str) -> None:
    head = f"MODULE {os} arm64 {ID} libxul.so\nINFO CODE_ID ABCD1234\n"
    (info,) = Breakpad().identify(reader(head.encode()))
    assert (info.code_id, info.build_id) == ("ABCD1234", build_id)


def test_identify_line_that_is_cut_short_does_not_count() -> None:
    assert Breakpad().identify(reader(f"MODULE Linux x86_64 {ID} libx".encode())) == ()


def test_format_of_symbol_files_is_this() -> None:
    found = format_of(FileType.SYMBOL_FILE)
    assert isinstance(found, Breakpad)


def test_symbol_check_endless_line_costs_a_bounded_memory() -> None:
    check = SymbolCheck()
    check.feed(b"MODULE a b c d\nFUNC ")
    for _ in range(64):
        check.feed(b" " * (1 << 16))
    assert len(check._line) <= LINE_BYTES
    assert check.problem()


def test_symbol_check_with_a_usable_record_has_no_problem() -> None:
    check = SymbolCheck()
    check.feed(b"MODULE a b c d\nFUNC 1000 20 0 f\n")
    assert check.problem() == ""
