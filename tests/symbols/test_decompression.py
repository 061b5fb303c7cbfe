from __future__ import annotations

import gzip
import lzma
import tracemalloc
from collections.abc import Callable, Iterator
from functools import partial

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import Malformed, TooLarge
from tecken.symbols.pagefile.convert import decompress

WAYS: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "xz": partial(lzma.compress, preset=0),
}
COMPRESSED = {name: way for name, way in WAYS.items() if name != "plain"}
every_way = pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
compressed = pytest.mark.parametrize("way", COMPRESSED.values(), ids=COMPRESSED)
LIMIT = 1 << 30


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[i : i + size] for i in range(0, len(data), size))


@every_way
@given(text=st.binary(max_size=2000), size=st.integers(1, 50))
def test_decoded_any_chunks_give_the_text(way: Callable[[bytes], bytes], text: bytes, size: int) -> None:
    text = b"MODULE " + text
    assert b"".join(decompress(cut(way(text), size), LIMIT)) == text


@compressed
def test_decoded_several_members_are_one_text(way: Callable[[bytes], bytes]) -> None:
    assert b"".join(decompress([way(b"one ") + way(b"two")], LIMIT)) == b"one two"


@every_way
def test_decoded_text_over_the_limit_raises(way: Callable[[bytes], bytes]) -> None:
    assert b"".join(decompress([way(b"x" * 1000)], 1000)) == b"x" * 1000
    with pytest.raises(TooLarge, match="longer than 999 bytes"):
        list(decompress([way(b"x" * 1000)], 999))


@compressed
def test_decoded_truncated_data_is_malformed(way: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed, match="ends early"):
        list(decompress([way(bytes(range(256)) * 9)[:-5]], LIMIT))


@compressed
def test_decoded_broken_data_is_malformed(way: Callable[[bytes], bytes]) -> None:
    data = way(b"some text " * 99)
    with pytest.raises(Malformed, match="broken"):
        list(decompress([data[:8] + b"\xff" * 30 + data[38:]], LIMIT))


@compressed
def test_decoded_trailing_garbage_is_malformed(way: Callable[[bytes], bytes]) -> None:
    with pytest.raises(Malformed):
        list(decompress([way(b"text"), b"more"], LIMIT))


@compressed
def test_decoded_bomb_takes_bounded_memory(way: Callable[[bytes], bytes]) -> None:
    bomb = way(bytes(200 << 20))
    tracemalloc.start()
    try:
        assert max(map(len, decompress([bomb], LIMIT))) <= 40 << 20
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 150 << 20


def test_decoded_xz_file_that_needs_much_memory_is_malformed() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 256 << 20}]
    with pytest.raises(Malformed, match="broken xz data"):
        list(decompress([lzma.compress(b"text", filters=filters)], LIMIT))


@pytest.mark.parametrize("chunks", [[], [b""], [b"", b""]])
def test_decoded_empty_input_is_empty(chunks: list[bytes]) -> None:
    assert b"".join(decompress(chunks, LIMIT)) == b""
