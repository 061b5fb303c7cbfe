"""What every registered format does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.symbols import formats
from tecken.symbols.formats import FORMATS, HEAD_BYTES, format_of, identify
from tecken.symbols.formats.base import Format
from tecken.symbols.formats.breakpad import Breakpad
from tecken.symbols.layouts import FileType

HEADS = (
    *(b"", b"\0" * 100, b"\x7fELF\x02\x01\x01", b"MZ\x90\0", b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0"),
    *(b"\xcf\xfa\xed\xfe", b"\0asm\x01\0\0\0", b"MODULE", b"MODULE Linux x86_64\n"),
)


def test_formats_have_names_and_types_of_their_own() -> None:
    assert len({known.name for known in FORMATS}) == len(FORMATS)
    assert all(known.file_types and known.identity for known in FORMATS)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
@pytest.mark.parametrize("head", HEADS)
def test_identify_head_without_an_object_is_none(known: Format, head: bytes) -> None:
    assert known.identify(head) is None


@given(st.binary(max_size=200))
def test_identify_any_bytes_raises_nothing(head: bytes) -> None:
    identify(head)
    identify(b"MODULE " + head)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_usability_check_of_an_empty_file_has_a_problem(known: Format) -> None:
    if check := known.usability_check():
        check.feed(b"")
        assert check.problem()


def test_format_of_a_type_that_is_only_stored_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (Breakpad(),))
    assert format_of(FileType.OTHER) is None


def test_identify_with_a_type_of_another_format_is_none() -> None:
    head = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\n"
    assert identify(head) is not None
    assert identify(head, FileType.SYMBOL_FILE) == identify(head)
    assert identify(head, FileType.PDB) is None


def test_head_bytes_hold_what_breakpad_needs() -> None:
    assert HEAD_BYTES >= 4 << 10
