"""Compressed content: any tool unpacks it, and any part of it is read alone."""

from __future__ import annotations

import io
import random
from collections.abc import Iterable, Iterator

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from tecken.errors import Malformed
from tecken.storage.backends.seekable import (
    FRAME_BYTES,
    ZstdFrame,
    decode,
    encode,
    find_run,
    parse_table,
    tail_bytes,
    trailer,
)

CHANCE = random.Random(13)
WORDS = [CHANCE.randbytes(7) for _ in range(300)]
# Four frames, the last one short. Natives have repeated and random parts.
TEXT = b"".join(CHANCE.choices(WORDS, k=500_000))
NOISE = CHANCE.randbytes(2 * FRAME_BYTES)


def encoded(content: bytes) -> bytes:
    return b"".join(encode([content[:1000], b"", content[1000:]]))


STORED = encoded(TEXT)


def part(stored: bytes, size: int, start: int, end: int) -> bytes:
    run = find_run(parse_table(stored[-tail_bytes(size) :], len(stored), size), start, end)
    span = stored[run.start : run.end]
    chunks = (span[at : at + 70_000] for at in range(0, len(span), 70_000))
    return b"".join(decode(chunks, run, end - start))


def test_encode_text_is_one_zstd_stream() -> None:
    assert len(STORED) < len(TEXT) / 2
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(STORED), read_across_frames=True)
    assert reader.read() == TEXT


def test_encode_text_ends_with_the_seek_table_of_zstd_seekable() -> None:
    footer = len(parse_table(STORED, len(STORED), len(TEXT))).to_bytes(4, "little") + b"\0\xb1\xea\x92\x8f"
    assert STORED.endswith(footer)
    assert STORED[-(8 + 4 * 8 + 9) :].startswith(b"\x5e\x2a\x4d\x18" + (4 * 8 + 9).to_bytes(4, "little"))


@pytest.mark.parametrize(
    ("start", "end"),
    [
        (0, len(TEXT)),
        (0, 1),
        (len(TEXT) - 1, len(TEXT)),
        (FRAME_BYTES - 1, FRAME_BYTES + 1),
        (FRAME_BYTES, 2 * FRAME_BYTES),
        (FRAME_BYTES + 5, len(TEXT) - 5),
    ],
)
def test_decode_part_of_text_is_that_part(start: int, end: int) -> None:
    assert part(STORED, len(TEXT), start, end) == TEXT[start:end]


@given(st.integers(0, len(TEXT) - 1), st.integers(1, 3 * FRAME_BYTES))
def test_decode_any_part_is_that_part(start: int, size: int) -> None:
    end = min(start + size, len(TEXT))
    assert part(STORED, len(TEXT), start, end) == TEXT[start:end]


def test_find_run_small_part_needs_one_frame() -> None:
    frames = parse_table(STORED, len(STORED), len(TEXT))
    run = find_run(frames, FRAME_BYTES + 10, FRAME_BYTES + 20)
    assert (run.frames, run.skip) == ([frames[1]], 10)
    assert (run.start, run.end) == (frames[0].stored, frames[0].stored + frames[1].stored)


@pytest.mark.parametrize("content", [b"", b"short", NOISE, b"a" * 100 + NOISE[:1900]])
def test_encode_content_that_gains_little_is_kept_as_it_is(content: bytes) -> None:
    assert encoded(content) == content


def test_encode_decides_by_the_first_frames() -> None:
    assert encoded(NOISE * 2 + TEXT) == NOISE * 2 + TEXT
    mixed = TEXT + NOISE
    assert part(encoded(mixed), len(mixed), 0, len(mixed)) == mixed


def test_encode_reads_no_further_than_the_sample_before_it_yields() -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for _ in range(64):
            read += 1
            yield NOISE[:FRAME_BYTES]

    next(encode(chunks()))
    assert read <= 5


def test_trailer_of_frames_that_have_the_plain_size_with_it_adds_an_empty_frame() -> None:
    """The size alone tells the two forms apart."""
    frames = [ZstdFrame(100, 125)]
    end = trailer(frames)
    assert len(trailer([ZstdFrame(99, 125)])) == 25
    assert parse_table(end, 100 + len(end), 125) == [ZstdFrame(100, 125), ZstdFrame(8, 0)]
    assert zstandard.ZstdDecompressor().stream_reader(io.BytesIO(end), read_across_frames=True).read() == b""


def table(*frames: ZstdFrame, magic: bytes = b"\xb1\xea\x92\x8f") -> bytes:
    entries = b"".join(n.to_bytes(4, "little") for frame in frames for n in frame)
    rest = entries + len(frames).to_bytes(4, "little") + b"\0" + magic
    return b"\x5e\x2a\x4d\x18" + len(rest).to_bytes(4, "little") + rest


@pytest.mark.parametrize(
    "tail",
    [
        b"",
        b"\0" * 100,
        table(ZstdFrame(10, 100), magic=b"abcd"),
        table(ZstdFrame(11, 100)),
        table(ZstdFrame(10, 99)),
        table(ZstdFrame(5, 50), ZstdFrame(5, 50), ZstdFrame(0, 0)),
        b"x" + table(ZstdFrame(10, 100))[1:],
        table(ZstdFrame(10, 100))[1:],
    ],
)
def test_parse_table_of_other_content_is_malformed(tail: bytes) -> None:
    assert parse_table(table(ZstdFrame(10, 100)), 10 + 25, 100) == [ZstdFrame(10, 100)]
    with pytest.raises(Malformed):
        parse_table(tail, 10 + 25, 100)


def damage(chunks: Iterable[bytes], at: int) -> list[bytes]:
    stored = bytearray(b"".join(chunks))
    stored[at] ^= 1
    return [bytes(stored)]


@pytest.mark.parametrize("at", [0, 5, 1000, 200_000])
def test_decode_damaged_frame_is_malformed(at: int) -> None:
    run = find_run(parse_table(STORED, len(STORED), len(TEXT)), 0, 10)
    with pytest.raises(Malformed):
        list(decode(damage([STORED[run.start : run.end]], at), run, 10))


def test_decode_frames_that_end_early_are_malformed() -> None:
    run = find_run(parse_table(STORED, len(STORED), len(TEXT)), 0, len(TEXT))
    with pytest.raises(Malformed, match="ends early"):
        list(decode([STORED[:1000]], run, len(TEXT)))
