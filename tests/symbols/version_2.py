"""Page files of version 2, which are still read, made from those of the present version."""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from itertools import accumulate

import orjson
import zstandard

from tecken.symbols.pagefile.file import CODEC_ZSTD, MAGIC, PREFIX, Header, Section
from tecken.symbols.pagefile.page import words


def encode_version_2(keys: Sequence[int], texts: Sequence[bytes]) -> bytes:
    """Return a page of version 2, not compressed."""
    ends = list(accumulate(map(len, texts)))
    return b"".join((words([len(keys)]), words(keys), words(ends), *texts))


def as_version_2(header: Header, pages: bytes) -> tuple[Header, bytes]:
    """Return the same module as the header and the pages of version 2, without a dictionary."""
    made, first_keys = [], array("I")
    for section in list(Section)[:3]:
        for number in header.pages(section):
            start, end = (place - len(header.raw) for place in header.span(number))
            page = header.open(pages[start:end])
            read = page.text if section is Section.SYMBOLS else page.record
            texts = [read(i) for i in range(len(page.keys))]
            made.append(zstandard.compress(encode_version_2(page.keys, texts)))
            first_keys.append(page.keys[0])
    tables = words(first_keys) + words(list(accumulate(map(len, made))))
    facts = orjson.dumps(header.metadata._asdict(), option=orjson.OPT_SORT_KEYS)
    sections = [len(header.pages(section)) for section in list(Section)[:3]]
    size = PREFIX + len(tables) + len(facts)
    prefix = struct.pack(
        "<8sHHI3III8s", MAGIC, 2, CODEC_ZSTD, size, *sections, len(facts), 0, bytes.fromhex(header.generation)
    )
    return Header.parse(prefix + tables + facts), b"".join(made)
