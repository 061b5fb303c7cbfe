"""A body: in one piece when it is small, else streamed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack
from itertools import chain
from typing import Self

from tecken.errors import CouldNotAsk

# More than this is streamed. It stays in memory until the client has taken it, for each client that does not.
SMALL_BYTES = 64 << 10


class Stream:
    """An iterator that holds something open until it is closed, read or not."""

    def __init__(self, chunks: Iterator[bytes], opened: ExitStack) -> None:
        self._chunks = chunks
        self._opened = opened

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> bytes:
        return next(self._chunks)

    def close(self) -> None:
        self._opened.close()


def content(opening: AbstractContextManager[Iterable[bytes]]) -> bytes | Stream:
    """Whatever opening and the first bytes raise is raised here, before anything has been answered."""
    with ExitStack() as opened:
        chunks = iter(opened.enter_context(opening))
        begun, size = [], 0
        for chunk in chunks:
            begun.append(chunk)
            size += len(chunk)
            if size > SMALL_BYTES:
                return Stream(chain(begun, chunks), opened.pop_all())
        return b"".join(begun)


def exactly(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Raises CouldNotAsk when there are more bytes or fewer: the file was replaced meanwhile."""
    left = size
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            break
        yield chunk
    if left:
        raise CouldNotAsk("the file was replaced while it was read")
