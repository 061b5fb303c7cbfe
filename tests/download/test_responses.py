from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tecken.download.responses import SMALL_BYTES, Stream, check_length, read_content
from tecken.errors import NotFound, Unavailable


class Opened:
    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.closed = False

    @contextmanager
    def opening(self) -> Iterator[Iterator[bytes]]:
        yield iter(self.chunks)
        self.closed = True


def test_what_is_small_comes_at_once() -> None:
    source = Opened(b"a", b"", b"b")
    assert read_content(source.opening()) == b"ab"
    assert source.closed


def test_what_is_large_is_streamed_and_stays_open() -> None:
    source = Opened(b"a" * SMALL_BYTES, b"b", b"c")
    body = read_content(source.opening())
    assert isinstance(body, Stream)
    assert not source.closed
    assert b"".join(body) == b"a" * SMALL_BYTES + b"bc"
    body.close()
    assert source.closed


def test_a_stream_that_nobody_reads_is_closed_too() -> None:
    source = Opened(b"a" * SMALL_BYTES, b"b")
    body = read_content(source.opening())
    assert isinstance(body, Stream)
    body.close()
    assert source.closed


def test_errors_of_opening_come_before_any_answer() -> None:
    @contextmanager
    def absent() -> Iterator[Iterator[bytes]]:
        raise NotFound("gone")
        yield

    with pytest.raises(NotFound):
        read_content(absent())


def test_exactly_so_many_bytes() -> None:
    assert list(check_length([b"ab", b"c"], 3)) == [b"ab", b"c"]
    for size in (2, 4):
        with pytest.raises(Unavailable, match="replaced"):
            list(check_length([b"ab", b"c"], size))
