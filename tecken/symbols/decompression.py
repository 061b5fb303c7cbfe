"""The text of a symbol file that may be stored compressed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

import zstandard

from tecken.errors import Malformed, TooMuch


class _Decompressor(Protocol):
    """One gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


# By magic: the name, what decompresses, and bytes to give it at once, so that even the densest input becomes
# no more than 32 MB of text (deflate makes at most 1,032 bytes of one, a zstd block of 4 bytes 128 KB).
_FORMATS: Final[dict[bytes, tuple[str, Callable[[], _Decompressor], int]]] = {
    b"\x1f\x8b": ("gzip", _gzip, 32 << 10),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd, 1 << 10),
}
_LONGEST_MAGIC: Final = max(map(len, _FORMATS))


def decoded(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """The text in `chunks`, plain or, told by magic, gzip or zstd; piece by piece, in bounded memory.

    Raises TooMuch as soon as the text is longer than `limit` bytes, Malformed when compressed data is broken
    or ends early.
    """
    total = 0
    for text in _unpacked(iter(chunks)):
        total += len(text)
        if total > limit:
            raise TooMuch(f"symbol file is longer than {limit} bytes")
        yield text


def _unpacked(chunks: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    while len(start) < _LONGEST_MAGIC and (chunk := next(chunks, None)) is not None:
        start += chunk
    whole = chain((start,), chunks)
    for magic, (name, make, piece) in _FORMATS.items():
        if start.startswith(magic):
            return _decompressed(_pieces(whole, piece), name, make)
    return whole


def _pieces(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            yield chunk[begin : begin + size]


def _decompressed(pieces: Iterable[bytes], name: str, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    current = make()
    try:
        for piece in pieces:
            data = piece
            while data:
                if current.eof:
                    current = make()
                yield current.decompress(data)
                data = current.unused_data if current.eof else b""
    except (zlib.error, zstandard.ZstdError) as error:
        raise Malformed(f"broken {name} data: {error}") from error
    if not current.eof:
        raise Malformed(f"{name} data ends early")
