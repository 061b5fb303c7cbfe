"""Call frame information of a module: STACK records by address, for unwinders.

    STACK CFI INIT address size rules        the rules at the start of a range of code
    STACK CFI address rules                  those that change inside the range, up to the next INIT record
    STACK WIN type address size ...          one range of a Windows module

A record of the CFI section is an INIT record with the records after it, or a WIN record; its key is the
address. A page has it without what the key and the kind say already: the size and rules, then for each change
the difference of its address and its rules.

    b0 .cfa: $rsp 8 + .ra: .cfa -8 + ^
    1 .cfa: $rsp 16 + $rbp: .cfa -16 + ^
    3 .cfa: $rbp 16 +

A record that is not written as writers do has whole lines, which begin with `STACK `.

Source: that of `tecken.symbols.formats`.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator
from typing import BinaryIO, Final, NamedTuple

from tecken.errors import MalformedPageFile
from tecken.symbols.pagefile.page import Page, encode

# Bytes of text of a page. Rules repeat, so a large page compresses much better, and a lookup reads few lines.
PAGE_SIZE: Final = 16 << 10

# Bytes of one packed record. The largest seen in ceph-osd, libjvm, libpython and a Rust program has 18,514.
MAX_RECORD: Final = 256 << 10

# Records of one module. Each takes 16 bytes of memory, and 80 more while they are sorted.
MAX_RECORDS: Final = 2 << 20

_NUMBER: Final = rb"(?:0|[1-9a-f][0-9a-f]{0,7})"
_START: Final = re.compile(
    rb"\nSTACK (?:CFI INIT|WIN [0-9a-fA-F]+) +([0-9a-fA-F]{1,16}) +([0-9a-fA-F]{1,16})"
)
_INIT: Final = re.compile(rb"STACK CFI INIT (%b) (%b .*)" % (_NUMBER, _NUMBER))
_CHANGE: Final = re.compile(rb"STACK CFI (%b) (.*)" % _NUMBER)
_PACKED: Final = re.compile(rb"(-?%b) (.*)" % _NUMBER)
_WHOLE: Final = b"STACK "
_ADDRESS_END: Final = 1 << 32


class CfiRecord(NamedTuple):
    """Range [start, end) of code and its STACK records: lines as in a symbol file."""

    start: int
    end: int
    lines: tuple[bytes, ...]


class CfiScanner:
    """Search for STACK records in text that is fed piece by piece. `spool` is an empty file of the caller."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        # Key and place of each record.
        self._keys = array("I")
        self._starts = array("Q")
        self._lengths = array("I")
        self._tail = b"\n"
        # Record that has not ended yet, with its address.
        self._record: list[bytes] = []
        self._address = 0
        self._bytes = 0
        self.dropped: Counter[str] = Counter()

    def feed(self, text: bytes) -> None:
        """Scan the next piece of text."""
        text = self._tail + text
        end = text.rfind(b"\n")
        self._scan(text[:end])
        # A line that is longer is dropped, however long it is.
        self._tail = text[end : end + 2 * MAX_RECORD]

    def finish(self) -> None:
        """Scan the rest of the text."""
        self._scan(self._tail)
        self._close()

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield first key and bytes of each page, not compressed; call it after `finish`."""
        records, size = [], 0
        order = sorted(range(len(self._keys)), key=self._keys.__getitem__)
        for i in order:
            records.append(i)
            size += self._lengths[i]
            if size >= PAGE_SIZE:
                yield self._page(records)
                records, size = [], 0
        if records:
            yield self._page(records)

    def _page(self, records: list[int]) -> tuple[int, bytes]:
        keys = [self._keys[i] for i in records]
        return keys[0], encode(keys, [self._read(self._starts[i], self._lengths[i]) for i in records])

    def _scan(self, text: bytes) -> None:
        """Add the records of complete lines, each with the newline before it."""
        begin = text.find(b"\nSTACK ")
        while begin >= 0:
            end = text.find(b"\nSTACK ", begin + 1)
            block = text[begin : end if end >= 0 else len(text)]
            # Other lines among STACK records do not count.
            self._add(block.partition(b"\n")[2].partition(b"\n")[0].rstrip(b"\r"))
            begin = end

    def _add(self, line: bytes) -> None:
        start = _START.match(b"\n" + line)
        if not start:
            if self._record and line.startswith(b"STACK CFI "):
                self._record.append(line)
            return
        self._close()
        self._address = int(start[1], 16)
        if self._address < _ADDRESS_END:
            self._record = [line]
        else:
            self.dropped["STACK past 4 GiB"] += 1

    def _close(self) -> None:
        lines, self._record = self._record, []
        text = pack(lines)
        if not lines:
            return
        if len(text) > MAX_RECORD:
            self.dropped[f"STACK record of more than {MAX_RECORD} bytes"] += 1
        elif len(self._keys) >= MAX_RECORDS:
            self.dropped[f"STACK record after the first {MAX_RECORDS}"] += 1
        else:
            self._keys.append(self._address)
            self._starts.append(self._bytes)
            self._lengths.append(len(text))
            self._bytes += self._spool.write(text)

    def _read(self, start: int, length: int) -> bytes:
        self._spool.seek(start)
        return self._spool.read(length)


def pack(lines: list[bytes]) -> bytes:
    """Return the lines of one record in the form of a page."""
    init = _INIT.fullmatch(lines[0]) if lines else None
    changes = [_CHANGE.fullmatch(line) for line in lines[1:]]
    if not init or not all(changes):
        return b"\n".join(lines)
    packed, before = [init[2]], int(init[1], 16)
    for change in changes:
        assert change
        address = int(change[1], 16)
        packed.append(b"%b %b" % (_signed_hex(address - before), change[2]))
        before = address
    return b"\n".join(packed)


def expand(text: bytes, address: int) -> list[bytes]:
    """Return the lines of one record. Raises MalformedPageFile."""
    if text.startswith(_WHOLE):
        return text.split(b"\n")
    first, *changes = text.split(b"\n")
    lines, place = [b"STACK CFI INIT %x %b" % (address, first)], address
    for line in changes:
        change = _PACKED.fullmatch(line)
        if not change:
            raise MalformedPageFile(f"not a change of call frame information: {line[:80]!r}")
        place += int(change[1], 16)
        lines.append(b"STACK CFI %b %b" % (_signed_hex(place), change[2]))
    return lines


def find(page: Page, offset: int) -> CfiRecord | None:
    """Return what a page of the CFI section says of a module offset: the last record that covers it.

    Of the changes inside the range, only those up to the offset are returned. Raises MalformedPageFile.
    """
    for i in range(bisect_right(page.keys, offset) - 1, -1, -1):
        lines = expand(page.record(i), page.keys[i])
        start = _START.match(b"\n" + lines[0])
        if not start:
            raise MalformedPageFile(f"not a STACK record: {lines[0][:80]!r}")
        end = page.keys[i] + int(start[2], 16)
        if offset < end:
            inside = (line for line in lines[1:] if _address(line) <= offset)
            return CfiRecord(page.keys[i], end, (lines[0], *inside))
    return None


def _address(line: bytes) -> int:
    try:
        return int(line.split(None, 3)[2], 16)
    except (ValueError, IndexError):
        return _ADDRESS_END


def _signed_hex(number: int) -> bytes:
    return b"%x" % number if number >= 0 else b"-%x" % -number
