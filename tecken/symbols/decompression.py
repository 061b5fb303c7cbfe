"""Decompression of files: gzip (RFC 1952), zstd (RFC 8878), xz or plain, by their magic numbers."""

from __future__ import annotations

import lzma
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Final, Protocol

import zstandard

from tecken.errors import Malformed, TooLarge


class _Decompressor(Protocol):
    """Decompressor of one gzip member or zstd frame."""

    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /) -> bytes: ...


def _gzip() -> _Decompressor:
    return zlib.decompressobj(wbits=31)


def _zstd() -> _Decompressor:
    return zstandard.ZstdDecompressor().decompressobj()


# The compression ratio of smaller files is not checked: a few bytes of text can exceed any ratio.
SMALL_BYTES: Final = 1 << 20
# The largest preset of xz needs 65 MiB; a file may declare one of 4 GiB.
XZ_MEMORY_BYTES: Final = 128 << 20


def _xz() -> _Decompressor:
    return lzma.LZMADecompressor(lzma.FORMAT_XZ, XZ_MEMORY_BYTES)


# Magic number: name, decompressor, and the number of bytes to give it at once. A decompressor returns all
# text of its input in one object, so the input is bounded: even the densest one gives no more than 32 MB of
# text (deflate makes at most 1,032 bytes of one byte, a zstd block of 4 bytes 128 KB, xz 7,000 bytes of
# one).
_FORMATS: Final[dict[bytes, tuple[str, Callable[[], _Decompressor], int]]] = {
    b"\x1f\x8b": ("gzip", _gzip, 32 << 10),
    b"\x28\xb5\x2f\xfd": ("zstd", _zstd, 1 << 10),
    b"\xfd7zXZ\0": ("xz", _xz, 1 << 10),
}
_LONGEST_MAGIC: Final = max(map(len, _FORMATS))


def is_compressed(head: bytes) -> bool:
    """Return whether a file with these first bytes is gzip, zstd or xz."""
    return head.startswith(tuple(_FORMATS))


def decompress(chunks: Iterable[bytes], limit: int) -> Iterator[bytes]:
    """Yield the text in `chunks`, which are plain, gzip, zstd or xz, in bounded memory.

    Raises:
        TooLarge: The text is longer than `limit` bytes; raised as soon as it is.
        Malformed: Compressed data is broken or ends early.
    """
    total = 0
    for text in _unpack(iter(chunks)):
        total += len(text)
        if total > limit:
            raise TooLarge(f"symbol file is longer than {limit} bytes")
        yield text


def _unpack(chunks: Iterator[bytes]) -> Iterator[bytes]:
    start = b""
    # The first chunk may be shorter than a magic number.
    while len(start) < _LONGEST_MAGIC and (chunk := next(chunks, None)) is not None:
        start += chunk
    all_chunks = chain((start,), chunks)
    for magic, (name, make, piece_bytes) in _FORMATS.items():
        if start.startswith(magic):
            return _decompress(_split(all_chunks, piece_bytes), name, make)
    return all_chunks


def _split(chunks: Iterable[bytes], size: int) -> Iterator[bytes]:
    for chunk in chunks:
        for begin in range(0, len(chunk), size):
            yield chunk[begin : begin + size]


def _decompress(pieces: Iterable[bytes], name: str, make: Callable[[], _Decompressor]) -> Iterator[bytes]:
    current = make()
    try:
        for piece in pieces:
            data = piece
            while data:
                # A file may consist of several gzip members or zstd frames.
                if current.eof:
                    current = make()
                yield current.decompress(data)
                data = current.unused_data if current.eof else b""
    except (zlib.error, zstandard.ZstdError, lzma.LZMAError) as error:
        raise Malformed(f"broken {name} data: {error}") from error
    if not current.eof:
        raise Malformed(f"{name} data ends early")
