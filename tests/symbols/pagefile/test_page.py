from __future__ import annotations

import sys
from bisect import bisect_right

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile.page import decode, encode, table, words

KEYS = st.integers(0, 2**32 - 1)


@given(st.lists(st.tuples(KEYS, st.binary(max_size=50))))
def test_page_generated_records_are_decoded(records: list[tuple[int, bytes]]) -> None:
    records.sort(key=lambda record: record[0])
    page = decode(encode([key for key, _ in records], [text for _, text in records]))
    assert [(key, page.text(i)) for i, key in enumerate(page.keys)] == records


def test_page_layout_is_as_documented() -> None:
    raw = encode([1, 0x10203], [b"one", b"two!"])
    assert raw == bytes.fromhex("02000000 01000000 03020100 03000000 07000000") + b"onetwo!"


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
    [b"", b"\1\0\0", b"\2\0\0\0" + b"\0" * 8, encode([1], [b"text"])[:-1], encode([1], [b"text"]) + b"x"],
    ids=["nothing", "half a count", "no room for records", "cut", "too long"],
)
def test_decode_invalid_bytes_are_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedPageFile):
        decode(raw)


@given(st.binary(max_size=200))
def test_decode_arbitrary_bytes_are_a_page_or_malformed(raw: bytes) -> None:
    try:
        page = decode(raw)
    except MalformedPageFile:
        return
    for i in range(len(page.keys)):
        page.text(i)


@pytest.mark.parametrize("order", ["little", "big"])
def test_page_numbers_are_little_endian_on_every_host(monkeypatch: pytest.MonkeyPatch, order: str) -> None:
    swapped = order != sys.byteorder
    monkeypatch.setattr(sys, "byteorder", order)
    written = words([1, 2**32 - 1])
    assert list(table(memoryview(written))) == [1, 2**32 - 1]
    assert written[:4] == (b"\0\0\0\1" if swapped else b"\1\0\0\0")
