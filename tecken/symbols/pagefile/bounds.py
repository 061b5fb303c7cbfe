"""Bounds on the records of a symbol, applied when a symbol file is converted.

A lookup takes at most time in proportion to the text of one FUNC block. Bounds on that text, its words, the
depth of inlined calls and the length of names therefore bound the cost of one offset, whatever the file.
Records that are left out are counted with a reason; the function keeps its name where that is possible.
"""

from __future__ import annotations

import re
from collections import Counter
from typing import Final

from tecken.symbols.pagefile.func_record import head

# Bytes and words of one FUNC block. The largest seen has 1.9 MB and 428,283 words: a function of ceph-osd
# that makes a table of all options. The largest in libjvm, libpython, libstdc++ and a Rust program has
# 130,833. A block of this size takes up to 0.1 s with the engine and 2 s without it, once for each request.
MAX_BLOCK: Final = 4 << 20
MAX_WORDS: Final = 1 << 20

# Inlined calls that one offset can be in. The largest number seen in the same files is 29.
MAX_DEPTH: Final = 256

# Bytes of the name of a function or a file. The longest seen in the same files has 2,272.
MAX_NAME_BYTES: Final = 8 << 10

# FUNC and PUBLIC records at one address. Writers merge them: the largest number seen in the same files is 1.
MAX_EQUAL: Final = 256

_INLINE: Final = re.compile(rb"\nINLINE ([^ \n]*)[^\n]*")

# A call of MAX_DEPTH counts only inside calls of each lower depth, and a record has at least _LEAST_DEEP
# bytes. So nearly every block is accepted by its length alone, without a search in its text.
_DEEP: Final = b"\nINLINE %d " % MAX_DEPTH
_LEAST_DEEP: Final = MAX_DEPTH * len(b"\nINLINE 0 0 0 0 0 1")


def bounded_block(block: bytes, dropped: Counter[str]) -> bytes:
    """Return a FUNC block within the bounds; records that it loses are counted in `dropped`."""
    if len(block) > MAX_BLOCK or (len(block) > 2 * MAX_WORDS and len(block.split()) > MAX_WORDS):
        dropped[f"lines of a FUNC of more than {MAX_BLOCK} bytes or {MAX_WORDS} words"] += 1
        block = block.partition(b"\n")[0]
    if len(block) > _LEAST_DEEP and _DEEP in block:
        block = _without_deep_calls(block, dropped)
    end = block.find(b"\n")
    if (len(block) if end < 0 else end) > MAX_NAME_BYTES:
        line, newline, records = block.partition(b"\n")
        block = bounded_head(line, dropped) + newline + records
    return block


def bounded_head(line: bytes, dropped: Counter[str]) -> bytes:
    """Return a FUNC or PUBLIC line within the bounds."""
    if len(line) <= MAX_NAME_BYTES:
        return line
    is_public = line.startswith(b"PUBLIC")
    numbers, name = head(line, 1 if is_public else 2)
    word = b"PUBLIC" if is_public else b"FUNC"
    fields = [word, *(b"%x" % number for number in numbers), b"0"]
    return b" ".join([*fields, bounded_name(name.encode(), dropped)])


def bounded_name(name: bytes, dropped: Counter[str]) -> bytes:
    """Return a name cut at MAX_NAME_BYTES, between two characters."""
    if len(name) <= MAX_NAME_BYTES:
        return name
    dropped[f"end of a name of more than {MAX_NAME_BYTES} bytes"] += 1
    end = MAX_NAME_BYTES
    while end and name[end] & 0xC0 == 0x80:
        end -= 1
    return name[:end]


def without_calls(block: bytes, dropped: Counter[str]) -> bytes:
    """Return a FUNC block without its INLINE records."""
    block, count = _INLINE.subn(b"", block)
    if count:
        dropped["INLINE without a call file, as early writers have it"] += count
    return block


def _without_deep_calls(block: bytes, dropped: Counter[str]) -> bytes:
    def replacement(record: re.Match[bytes]) -> bytes:
        if not record[1].isdigit() or int(record[1][:18]) < MAX_DEPTH:
            return record[0]
        dropped[f"INLINE of a depth of {MAX_DEPTH} or more"] += 1
        return b""

    return _INLINE.sub(replacement, block)
