"""Runs of line records: records of a FUNC block that follow on each other, joined into one line.

    4cbb7f 4 138 83
    4cbb83 5 139 83      becomes      4cbb7f 4 138 83 5 139 83 2 138 83
    4cbb88 2 138 83

A line record is `address size line file`. Where a record begins at the end of the one before, its address is
redundant; such addresses are a quarter of the text and hardly compress. A run is `address (size line
file)+`, and a line record is a run of one. A run has at most RUN records, so that a search by address reads
few of them.
"""

from __future__ import annotations

import re
import sys
from array import array
from collections.abc import Sequence
from itertools import accumulate, compress, pairwise
from operator import add, ne
from typing import Final

RUN: Final = 16
_SIZES: Final = {b"%x" % size: size for size in range(1 << 12)}
_HEX: Final = re.compile(rb"[0-9a-fA-F]{1,8}")


def join(blocks: Sequence[bytes]) -> list[bytes]:
    """Return the same blocks with joined line records. A block with unusual lines stays as it is."""
    places = [(block, *_lines(block)) for block in blocks]
    texts = [block[begin:] for block, begin, count in places if count]
    joined = iter(_join(texts, [count for _, _, count in places if count]))
    return [block[:begin] + next(joined) if count else block for block, begin, count in places]


def split(block: bytes) -> bytes:
    """Return a block with each line record on a line of its own, and no carriage returns at line ends."""
    first, *lines = [line.removesuffix(b"\r") for line in block.split(b"\n")]
    return b"\n".join((first, *map(_split_run, lines)))


def _split_run(line: bytes) -> bytes:
    """Return the line records of a run; any other line as it is."""
    address, *fields = line.split(b" ")
    if not fields or len(fields) % 3:
        return line
    try:
        starts = accumulate(map(_number, fields[0::3]), initial=_number(address))
        records = zip(starts, fields[0::3], fields[1::3], fields[2::3], strict=False)
        return b"\n".join([b"%x %b %b %b" % record for record in records])
    except ValueError:
        return line


def _lines(block: bytes) -> tuple[int, int]:
    """Return the start of the line records, after the last INLINE record, and their number.

    Returns 0, 0 when there are none or they do not have four fields each.
    """
    begin = block.find(b"\n", block.rfind(b"\nINLINE ") + 1) + 1
    if begin in (0, len(block)):
        return 0, 0
    count = block.count(b"\n", begin) + 1
    # A line with spaces side by side has fewer fields, which would shift those of all lines after it, even
    # into the next block.
    has_fields = block.count(b" ", begin) == 3 * count and len(block[begin:].split()) == 4 * count
    return (begin, count) if has_fields else (0, 0)


def _join(texts: list[bytes], counts: list[int]) -> list[bytes]:
    """Return the line records of each block, joined."""
    # All blocks of a page at once: a dozen calls that run in C instead of a loop over records in Python
    # (bench/convert.py).
    if not texts:
        return []
    fields = b"\n".join(texts).split()
    addresses = fields[0::4]
    firsts = list(accumulate(counts, initial=0))
    try:
        begins = _begins(_numbers(addresses), _sizes(fields[1::4]), firsts)
    except (ValueError, OverflowError):
        # Some block has malformed numbers. Each block is tried alone, and the malformed one stays as it is.
        singles = (_join([text], [count]) for text, count in zip(texts, counts, strict=True))
        return texts if len(texts) == 1 else [text for [text] in singles]
    del fields[0::4]
    for i in begins:
        fields[3 * i] = b"\n%b %b" % (addresses[i], fields[3 * i])
    for first in firsts[:-1]:
        fields[3 * first] = b"\n" + fields[3 * first]
    return b" ".join(fields).replace(b" \n", b"\n")[2:].split(b"\n\n")


def _begins(starts: array[int], sizes: Sequence[int], firsts: Sequence[int]) -> set[int]:
    """Return the records that begin a run: the first of a block, each after a gap or overlap, each RUN-th."""
    begins = {i for first, end in pairwise(firsts) for i in range(first, end, RUN)}
    ends = array("I", map(add, starts, sizes))
    for first in firsts[1:-1]:
        ends[first - 1] = starts[first]
    if ends[:-1] != starts[1:]:
        begins.update(compress(range(1, len(starts)), map(ne, ends, starts[1:])))
    return begins


def _numbers(addresses: Sequence[bytes]) -> array[int]:
    """Return hexadecimal numbers of up to 8 digits. Raises ValueError."""
    # Numbers of one width, as nearly all pages have, are padded with one join() and decoded with one call.
    width = len(addresses[0])
    between = b" " + b"0" * (8 - width)
    text = between.join(addresses)
    step = width + len(between)
    if width > 8 or len(text) + len(between) != len(addresses) * step or text[width::step].strip():
        return array("I", map(_number, addresses))
    numbers = array("I", bytes.fromhex((between + text).decode("ascii")))
    if sys.byteorder == "little":
        numbers.byteswap()
    return numbers


def _sizes(sizes: Sequence[bytes]) -> Sequence[int]:
    """Return hexadecimal sizes. Raises ValueError."""
    # Nearly all sizes are below 4,096. A lookup in a table takes a third of the time of int() (timeit).
    try:
        return list(map(_SIZES.__getitem__, sizes))
    except KeyError:
        return list(map(_number, sizes))


def _number(digits: bytes) -> int:
    if not _HEX.fullmatch(digits):
        raise ValueError(digits)
    return int(digits, 16)
