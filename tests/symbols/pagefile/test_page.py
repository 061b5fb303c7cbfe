from __future__ import annotations

import sys
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile.page import decode, decode_version_2, encode, table, words
from tests.symbols.packing import pack
from tests.symbols.version_2 import encode_version_2

KEYS = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(KEYS, st.binary(max_size=50))))
def test_page_generated_records_are_decoded(records: list[tuple[int, bytes]]) -> None:
    records.sort(key=lambda record: record[0])
    page = decode(encode([key for key, _ in records], [text for _, text in records]))
    assert [(key, page.record(i)) for i, key in enumerate(page.keys)] == records


@pytest.mark.parametrize(
    ("keys", "length", "layout"),
    [
        ([1, 0x100], 3, "02000000 01000000 01 01 ff 03 04"),
        ([1, 0x10000], 0x100, "02000000 01000000 02 02 ffff 0001 0400"),
        ([1, 0x10001], 0x10000, "02000000 01000000 04 04 00000100 00000100 04000000"),
    ],
)
def test_page_layout_has_the_smallest_widths(keys: list[int], length: int, layout: str) -> None:
    assert encode(keys, [b"x" * length, b"two!"]) == bytes.fromhex(layout) + b"x" * length + b"two!"


@given(st.lists(st.tuples(KEYS, st.binary(max_size=50))))
def test_page_of_version_2_is_decoded(records: list[tuple[int, bytes]]) -> None:
    records.sort(key=lambda record: record[0])
    page = decode_version_2(encode_version_2([key for key, _ in records], [text for _, text in records]))
    assert [(key, page.record(i)) for i, key in enumerate(page.keys)] == records


def test_page_of_version_2_layout_is_as_documented() -> None:
    raw = encode_version_2([1, 0x10203], [b"one", b"two!"])
    assert raw == bytes.fromhex("02000000 01000000 03020100 03000000 07000000") + b"onetwo!"


def test_page_packed_text_is_expanded() -> None:
    block = b"FUNC 10 8 0 f\n10 8 1 0"
    record = pack(block)
    assert record
    page = decode(encode([0x10, 0x20], [record, b"PUBLIC 20 0 p"]))
    assert (page.record(0), page.text(0), page.text(1)) == (record, block, b"PUBLIC 20 0 p")
    assert page.is_public(1)
    assert not page.is_public(0)


def test_page_keys_can_be_bisected() -> None:
    page = decode(encode([3, 7, 7, 9], [b"a", b"b", b"c", b"d"]))
    assert bisect_right(page.keys, 7) == 3
    assert page.text(2) == b"c"


def test_page_size_includes_its_bytes() -> None:
    raw = encode([1], [b"x" * 10_000])
    assert 10_000 < decode(raw).size < 11_000


def test_page_without_records_is_valid() -> None:
    assert list(decode(encode([], [])).keys) == []


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\1\0\0",
        b"\2\0\0\0" + b"\0" * 4 + b"\4\4" + b"\0" * 8,
        encode([1], [b"text"])[:-1],
        encode([1], [b"text"]) + b"x",
        bytes.fromhex("01000000 01000000 03 01 00"),
        bytes.fromhex("02000000 ffffffff 01 01 01 00 00"),
        bytes.fromhex("02000000 00000000 01 04 01 ffffffff ffffffff"),
    ],
    ids=["nothing", "half a count", "no room", "cut", "too long", "width", "large key", "large text"],
)
def test_decode_invalid_bytes_are_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        decode(raw)


@pytest.mark.parametrize(
    "raw",
    [b"", b"\1\0\0", b"\2\0\0\0" + b"\0" * 8, encode_version_2([1], [b"text"]) + b"x"],
    ids=["nothing", "half a count", "no room", "too long"],
)
def test_decode_version_2_invalid_bytes_are_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        decode_version_2(raw)


@given(st.binary(max_size=200))
def test_decode_arbitrary_bytes_are_a_page_or_malformed(raw: bytes) -> None:
    try:
        page = decode(raw)
    except MalformedPageFile:
        return
    for i in range(len(page.keys)):
        page.record(i)


@pytest.mark.parametrize("order", ["little", "big"])
def test_page_numbers_are_little_endian_on_every_host(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    swapped = order != sys.byteorder
    monkeypatch.setattr(sys, "byteorder", order)
    written = words([1, 2**32 - 1])
    assert list(table(memoryview(written))) == [1, 2**32 - 1]
    assert written[:4] == (b"\0\0\0\1" if swapped else b"\1\0\0\0")
