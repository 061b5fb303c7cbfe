"""What every registered format does."""

from __future__ import annotations

import io
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import Malformed
from tecken.symbols import formats
from tecken.symbols.formats import FORMATS, HEAD_BYTES, FileReader, format_of, identify
from tecken.symbols.formats.base import Format
from tecken.symbols.formats.breakpad import Breakpad
from tecken.symbols.formats.reader import MAX_READ_BYTES, MAX_READS, MAX_TOTAL_BYTES
from tecken.symbols.layouts import FileType

BREAKPAD = b"MODULE windows x86_64 44E4EC8C2F41492B9369D6B9A059577C2 xul.pdb\n"
HEADS = (
    *(b"", b"\0" * 100, b"\x7fEL", b"MZ\x90\0", b"Microsoft C/C++ MSF 6.00\r\n\x1aDS\0\0\0"),
    *(b"\xca\xfe\xba\xbe\0\0\0\x41", b"\0asm", b"MODULE", b"MODULE Linux x86_64\n", b"BSJ"),
)


def reader(content: bytes) -> FileReader:
    return FileReader(io.BytesIO(content), len(content))


def test_formats_have_names_and_types_of_their_own() -> None:
    assert len({known.name for known in FORMATS}) == len(FORMATS)
    assert all(known.file_types and known.identity for known in FORMATS)


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
@pytest.mark.parametrize("head", HEADS)
def test_identify_head_without_an_object_is_none(known: Format, head: bytes) -> None:
    assert known.identify(reader(head)) == ()


@given(st.binary(max_size=200))
def test_identify_any_bytes_raises_malformed_at_worst(head: bytes) -> None:
    for content in (head, b"MODULE " + head):
        with suppress(Malformed):
            identify(reader(content))


@pytest.mark.parametrize("known", FORMATS, ids=lambda known: known.name)
def test_usability_check_of_an_empty_file_has_a_problem(known: Format) -> None:
    if check := known.usability_check():
        check.feed(b"")
        assert check.problem()


def test_format_of_a_type_that_is_only_stored_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(formats, "FORMATS", (Breakpad(),))
    assert format_of(FileType.OTHER) is None


def test_identify_with_a_type_of_another_format_is_empty() -> None:
    assert identify(reader(BREAKPAD))
    assert identify(reader(BREAKPAD), FileType.SYMBOL_FILE) == identify(reader(BREAKPAD))
    assert identify(reader(BREAKPAD), FileType.PDB) == ()


def test_head_bytes_hold_what_breakpad_needs() -> None:
    assert HEAD_BYTES >= 4 << 10


class EndlessFile(io.BytesIO):
    """File of zeros that counts the bytes it returns."""

    total = 0

    def seek(self, offset: int, _whence: int = 0, /) -> int:
        return offset

    def read(self, size: int | None = -1, /) -> bytes:
        assert size
        self.total += size
        return bytes(size)


@pytest.mark.parametrize(
    ("size", "times"), [(1, MAX_READS + 1), (MAX_READ_BYTES, 6), (MAX_READ_BYTES + 1, 1)]
)
def test_reader_beyond_its_bounds_is_malformed(size: int, times: int) -> None:
    file = EndlessFile()
    bounded = FileReader(file, 1 << 40)
    for _ in range(times - 1):
        with suppress(Malformed):
            bounded.read(5, size)
    with pytest.raises(Malformed, match="too large"):
        bounded.read(5, size)
    assert file.total <= MAX_TOTAL_BYTES


@pytest.mark.parametrize(("offset", "size"), [(-1, 1), (0, 11), (10, 1), (5, -1), (1 << 70, 1)])
def test_reader_outside_of_the_file_is_malformed(offset: int, size: int) -> None:
    with pytest.raises(Malformed, match="the file ends before"):
        reader(b"0123456789").read(offset, size)
