"""Form of compressed content that can be read by range: zstd frames and a seek table.

Each frame holds FRAME_BYTES of plain bytes (the last one fewer), with their number and a checksum. After them
comes the seek table of zstd's seekable format, which decompressors skip: so the whole is one zstd stream that
`zstd -d` unpacks. The format is described in the zstd repository:
contrib/seekable_format/zstd_seekable_compression_format.md. All numbers are little-endian.

    skippable frame:  magic 0x184D2A5E, u32 size of the rest
    each frame:       u32 compressed bytes, u32 plain bytes
    footer:           u32 number of frames, u8 descriptor (0: no checksums in the table), u32 0x8F92EAB1

Content that gains too little is kept as it is. Nothing records which of the two forms content has: it is
plain if and only if it has the plain number of bytes. `trailer` adds an empty frame where a compressed form
would have that size.
"""

from __future__ import annotations

import struct
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate, chain, islice
from typing import Final, NamedTuple

import zstandard

from tecken.errors import Malformed

# Before a part that is read, fewer bytes than this are decompressed. Larger frames would save little space.
FRAME_BYTES: Final = 1 << 20
LEVEL: Final = 3
# The form is decided by the first frames, before anything is written.
SAMPLE_FRAMES: Final = 4
LARGEST_SHARE: Final = 0.95

_TABLE_HEAD: Final = struct.Struct("<II")
_ENTRY: Final = struct.Struct("<II")
_FOOTER: Final = struct.Struct("<IBI")
_TABLE_MAGIC: Final = 0x184D2A5E
_FOOTER_MAGIC: Final = 0x8F92EAB1
_EMPTY_FRAME: Final = _TABLE_HEAD.pack(0x184D2A50, 0)


class ZstdFrame(NamedTuple):
    """Sizes of one frame in bytes."""

    stored: int
    plain: int


class FrameRun(NamedTuple):
    """Frames that cover a range of plain bytes.

    They are the stored bytes from `start` to `end`, and `skip` plain bytes of the first one lie before the
    range.
    """

    frames: list[ZstdFrame]
    start: int
    end: int
    skip: int


def encode(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the stored form of content: compressed, or plain when its first bytes gain less than 5 %."""
    pieces = _split(chunks)
    sample = list(islice(pieces, SAMPLE_FRAMES))
    compress = zstandard.ZstdCompressor(level=LEVEL, write_checksum=True).compress
    packed = [compress(piece) for piece in sample]
    frames = [ZstdFrame(len(frame), len(piece)) for frame, piece in zip(packed, sample, strict=True)]
    if not _is_worth_it(frames):
        yield from chain(sample, pieces)
        return
    yield from packed
    for piece in pieces:
        frame = compress(piece)
        frames.append(ZstdFrame(len(frame), len(piece)))
        yield frame
    yield trailer(frames)


def trailer(frames: list[ZstdFrame]) -> bytes:
    """Return the bytes after the frames: the seek table. The whole never has the plain number of bytes."""
    table = _table(frames)
    if sum(frame.stored for frame in frames) + len(table) != sum(frame.plain for frame in frames):
        return table
    # Possible only for content of more than 4 GiB whose beginning alone compresses. `Blobs.read` would take
    # the compressed form for plain content.
    return _EMPTY_FRAME + _table([*frames, ZstdFrame(len(_EMPTY_FRAME), 0)])


def tail_bytes(plain_size: int) -> int:
    """Return the length of the longest seek table for content of this size."""
    frames = -(-plain_size // FRAME_BYTES)
    return _TABLE_HEAD.size + (frames + 1) * _ENTRY.size + _FOOTER.size


def parse_table(tail: bytes, stored_size: int, plain_size: int) -> list[ZstdFrame]:
    """Return the frames in the seek table at the end of `tail`, the last bytes of compressed content.

    Raises Malformed for a table that does not describe content of these sizes.
    """
    if len(tail) < _FOOTER.size:
        raise Malformed("no seek table")
    count, descriptor, magic = _FOOTER.unpack(tail[-_FOOTER.size :])
    length = _TABLE_HEAD.size + count * _ENTRY.size + _FOOTER.size
    if (descriptor, magic) != (0, _FOOTER_MAGIC) or length > min(len(tail), tail_bytes(plain_size)):
        raise Malformed("no seek table")
    table = tail[-length:]
    if _TABLE_HEAD.unpack_from(table) != (_TABLE_MAGIC, length - _TABLE_HEAD.size):
        raise Malformed("a broken seek table")
    frames = [ZstdFrame(*sizes) for sizes in _ENTRY.iter_unpack(table[_TABLE_HEAD.size : -_FOOTER.size])]
    stored, plain = sum(frame.stored for frame in frames), sum(frame.plain for frame in frames)
    if (stored + length, plain) != (stored_size, plain_size) or any(f.plain > FRAME_BYTES for f in frames):
        raise Malformed("a seek table of other content")
    return frames


def find_run(frames: list[ZstdFrame], start: int, end: int) -> FrameRun:
    """Return the frames that have the plain bytes from `start` to `end`, at least one of them."""
    plain_ends = list(accumulate(frame.plain for frame in frames))
    stored_ends = list(accumulate(frame.stored for frame in frames))
    first, last = bisect_right(plain_ends, start), bisect_left(plain_ends, end)
    skip = start - (plain_ends[first] - frames[first].plain)
    stored_start = stored_ends[first] - frames[first].stored
    return FrameRun(frames[first : last + 1], stored_start, stored_ends[last], skip)


def decode(chunks: Iterable[bytes], run: FrameRun, size: int) -> Iterator[bytes]:
    """Yield `size` plain bytes from the stored bytes of a run. Raises Malformed."""
    skip, left = run.skip, size
    decompressor = zstandard.ZstdDecompressor()
    for frame, packed in zip(run.frames, _cut(chunks, run.frames), strict=True):
        plain = _decompress(decompressor, packed, frame)[skip : skip + left]
        skip, left = 0, left - len(plain)
        yield plain


def _is_worth_it(frames: list[ZstdFrame]) -> bool:
    stored = sum(frame.stored for frame in frames) + len(_table(frames))
    return stored <= LARGEST_SHARE * sum(frame.plain for frame in frames)


def _table(frames: list[ZstdFrame]) -> bytes:
    entries = b"".join(_ENTRY.pack(*frame) for frame in frames)
    rest = entries + _FOOTER.pack(len(frames), 0, _FOOTER_MAGIC)
    return _TABLE_HEAD.pack(_TABLE_MAGIC, len(rest)) + rest


def _split(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the same bytes in pieces of FRAME_BYTES, the last one shorter."""
    buffer = bytearray()
    for chunk in chunks:
        buffer += chunk
        while len(buffer) >= FRAME_BYTES:
            yield bytes(buffer[:FRAME_BYTES])
            del buffer[:FRAME_BYTES]
    if buffer:
        yield bytes(buffer)


def _cut(chunks: Iterable[bytes], frames: Iterable[ZstdFrame]) -> Iterator[bytes]:
    """Yield the stored bytes of each frame. Raises Malformed when they end early."""
    remaining, buffer = iter(chunks), bytearray()
    for frame in frames:
        while len(buffer) < frame.stored:
            chunk = next(remaining, None)
            if chunk is None:
                raise Malformed("it ends early")
            buffer += chunk
        yield bytes(buffer[: frame.stored])
        del buffer[: frame.stored]


def _decompress(decompressor: zstandard.ZstdDecompressor, packed: bytes, frame: ZstdFrame) -> bytes:
    if not frame.plain:
        return b""
    try:
        # The decompressor allocates what the frame declares, so that is compared first.
        if zstandard.get_frame_parameters(packed).content_size != frame.plain:
            raise Malformed("a frame of another size than in the seek table")
        return decompressor.decompress(packed, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise Malformed(f"broken zstd data: {error}") from error
