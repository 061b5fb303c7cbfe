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

A WIN record has its whole line, as have some records of pages of version 3.

Source: that of `tecken.symbols.formats`.
"""

from __future__ import annotations

import re
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from typing import BinaryIO, Final, NamedTuple, Protocol

from tecken.errors import MalformedPageFile
from tecken.symbols import engine
from tecken.symbols.pagefile.page import Page, encode

# Bytes of text of a page. Rules repeat, so a large page compresses much better, and a lookup reads few lines.
PAGE_SIZE: Final = 16 << 10

# Bytes of a page at which it ends although a record reaches over its end. No range of a real module does
# that for so long.
MAX_PAGE: Final = 256 << 10

# Bytes of one packed record. The largest seen in ceph-osd, libjvm, libpython and a Rust program has 18,514.
MAX_RECORD: Final = 256 << 10

# Records of one module. Each takes 21 bytes of memory, and 120 more while they are sorted.
MAX_RECORDS: Final = 2 << 20

# Last records up to an offset among which those that cover it are searched. They are parts of one function;
# the record of the first part may have the size of the whole function.
LOOK_BACK: Final = 32

_HEX: Final = rb"[0-9a-fA-F]{1,8}"
_SIZE: Final = re.compile(rb"(?:STACK CFI INIT +[0-9a-fA-F]+ +)?(%b) " % _HEX)
_PACKED: Final = re.compile(rb"(-?%b) (.*)" % _HEX)
# Type, size, and size of the parameters, of a record whose type and flag agree: frame data has a program. The
# fields are those of `tecken.symbolication.minidump.unwind.win`.
_WIN: Final = re.compile(
    rb"STACK WIN +(?=4(?: +%(n)b){8} +1|0(?: +%(n)b){8} +[02-9])"
    rb"([04]) +%(n)b +(%(n)b)(?: +%(n)b){2} +(%(n)b) .*" % {b"n": _HEX}
)
# Frame data and FPO, the more precise one first.
_WIN_KINDS: Final = (b"4", b"0")
_WHOLE: Final = b"STACK "
_WIN_START: Final = b"STACK WIN "
_ADDRESS_END: Final = 1 << 32

# Texts of the small steps from one address to the next, with the space after them.
_SMALL: Final = 1 << 12
_STEPS: Final = [b"%x " % step for step in range(_SMALL)]


class WinRecord(NamedTuple):
    """STACK WIN record: its line, and the size of the function's parameters."""

    line: bytes
    parameter_bytes: int


class UnwindRecords(NamedTuple):
    """STACK records that apply at an offset: a WIN record, and the lines of an INIT record with its changes.

    Either may be missing.
    """

    win: WinRecord | None
    cfi: tuple[bytes, ...]


FoundRecords = tuple[bytes, bytes, bytes, bytes, bytes]
"""Keys, sizes, kinds (1 for an INIT record), lengths and text of records; numbers as in an array of `I`."""


class RecordScanner(Protocol):
    """Search for STACK records in text that is fed piece by piece."""

    @property
    def dropped(self) -> dict[str, int]:
        """Number of records left out, by reason."""
        ...

    def feed(self, text: bytes) -> FoundRecords:
        """Scan the next piece of text, and return the records that have ended."""
        ...

    def finish(self) -> FoundRecords:
        """Scan the rest of the text, and return the last records."""
        ...


class CfiScanner:
    """Search for STACK records in text that is fed piece by piece. `spool` is an empty file of the caller."""

    def __init__(self, spool: BinaryIO) -> None:
        self._spool = spool
        self._scanner = make_record_scanner()
        # Key, size of the range, kind, and length of each record.
        self._keys = array("I")
        self._sizes = array("I")
        self._is_init = bytearray()
        self._lengths = array("I")

    @property
    def dropped(self) -> dict[str, int]:
        """Number of records left out, by reason."""
        return self._scanner.dropped

    def feed(self, text: bytes) -> None:
        """Scan the next piece of text."""
        self._store(*self._scanner.feed(text))

    def finish(self) -> None:
        """Scan the rest of the text."""
        self._store(*self._scanner.finish())

    def _store(self, keys: bytes, sizes: bytes, kinds: bytes, lengths: bytes, text: bytes) -> None:
        self._keys.frombytes(keys)
        self._sizes.frombytes(sizes)
        self._is_init += kinds
        self._lengths.frombytes(lengths)
        self._spool.write(text)

    def pages(self) -> Iterator[tuple[int, bytes]]:
        """Yield first key and bytes of each page, not compressed; call it after `finish`.

        A lookup reads one page, so a record whose range reaches over other records stays with them.
        """
        records: list[int] = []
        size = reach = 0
        for i in self._kept():
            key = self._keys[i]
            if (size >= PAGE_SIZE and key >= reach) or size >= MAX_PAGE:
                yield self._page(records)
                records, size = [], 0
            records.append(i)
            size += self._lengths[i]
            reach = max(reach, key + self._sizes[i])
        if records:
            yield self._page(records)

    def _kept(self) -> Iterator[int]:
        """Yield the numbers of the records by address, without INIT records inside of others.

        Unwinders have no use for those. Of several at one address the shortest one is kept, and of equal
        ones the first.
        """
        sizes = [size if is_init else 0 for size, is_init in zip(self._sizes, self._is_init, strict=True)]
        order = sorted(range(len(sizes)), key=sizes.__getitem__)
        order.sort(key=self._keys.__getitem__)
        end = 0
        for i in order:
            if self._is_init[i]:
                if self._keys[i] < end:
                    continue
                end = self._keys[i] + self._sizes[i]
            yield i

    def _page(self, records: list[int]) -> tuple[int, bytes]:
        keys = [self._keys[i] for i in records]
        return keys[0], encode(keys, [self._read(i) for i in records])

    @cached_property
    def _starts(self) -> array[int]:
        return array("Q", accumulate(self._lengths, initial=0))

    def _read(self, i: int) -> bytes:
        self._spool.seek(self._starts[i])
        return self._spool.read(self._lengths[i])


class PythonRecordScanner:
    """Scanner in Python, which gives the same records as the engine."""

    def __init__(self) -> None:
        self.dropped: Counter[str] = Counter()
        self._tail = b"\n"
        # Range of the INIT record that has not ended yet: address and size. None outside of one.
        self._range: tuple[int, int] | None = None
        # Its packed lines, and the address of the last one.
        self._record: list[bytes] = []
        self._last = 0
        self._count = 0
        self._clear()

    def _clear(self) -> None:
        # Records that have ended since the last call.
        self._keys = array("I")
        self._sizes = array("I")
        self._kinds = bytearray()
        self._texts: list[bytes] = []

    def feed(self, text: bytes) -> FoundRecords:
        """Scan the next piece of text, and return the records that have ended."""
        text = self._tail + text
        end = text.rfind(b"\n")
        self._scan(text[:end])
        # A line that is longer is dropped, however long it is.
        self._tail = text[end : end + 2 * MAX_RECORD]
        return self._take()

    def finish(self) -> FoundRecords:
        """Scan the rest of the text, and return the last records."""
        self._scan(self._tail)
        self._close()
        return self._take()

    def _take(self) -> FoundRecords:
        lengths = array("I", map(len, self._texts))
        found = (self._keys, self._sizes, self._kinds, lengths, b"".join(self._texts))
        self._clear()
        keys, sizes, kinds, lengths, text = found
        return keys.tobytes(), sizes.tobytes(), bytes(kinds), lengths.tobytes(), text

    def _scan(self, text: bytes) -> None:
        """Add the records of complete lines, each with the newline before it."""
        begin = text.find(b"\nSTACK ")
        if begin < 0:
            return
        text = text[begin:]
        if b"\r" in text:
            text = text.replace(b"\r", b"")
        lines = text.split(b"\nSTACK ")
        # Other lines among STACK records do not count.
        if text.count(b"\n") >= len(lines):
            lines = [line.partition(b"\n")[0] for line in lines]
        self._add(lines[1:])

    def _add(self, lines: Sequence[bytes]) -> None:
        """Add the records of lines without their first word. Lines that are no records do not count."""
        # A module has millions of changes, so the loop has local names and no call for each of them.
        record, last = self._record, self._last
        for line in lines:
            try:
                kind, word, rest = line.split(None, 2)
                if kind == b"CFI" and word != b"INIT":
                    address = int(word, 16)
                    step = address - last
                    record.append((_STEPS[step] if 0 <= step < _SMALL else _step(step)) + rest)
                    last = address
                    continue
            except ValueError:
                continue
            self._close()
            self._open(kind, line)
            record, last = self._record, self._last
        self._last = last
        # An endless record would fill the memory. Cut off, it is still too long, and dropped.
        if sum(map(len, record)) > MAX_RECORD:
            record[:] = [b"".join(record)[: MAX_RECORD + 1]]

    def _open(self, kind: bytes, line: bytes) -> None:
        """Begin a record with its first line."""
        with suppress(ValueError):
            if kind == b"CFI":
                _, _, address, size, rules = line.split(None, 4)
                start, length = _hex(address), _hex(size)
                self._range, self._last = (start, length), start
                self._record.append(b"%x %b" % (length, rules))
            elif kind == b"WIN":
                _, _, address, size, _ = line.split(None, 4)
                self._store(_hex(address), _hex(size), _WHOLE + line, is_init=False)

    def _close(self) -> None:
        """End the record that has not ended yet. Changes without an INIT record do not count."""
        if self._range:
            self._store(*self._range, b"\n".join(self._record), is_init=True)
        self._range, self._record, self._last = None, [], 0

    def _store(self, address: int, size: int, text: bytes, *, is_init: bool) -> None:
        if not size:
            return
        if address >= _ADDRESS_END:
            self.dropped["STACK past 4 GiB"] += 1
        elif len(text) > MAX_RECORD:
            self.dropped[f"STACK record of more than {MAX_RECORD} bytes"] += 1
        elif self._count >= MAX_RECORDS:
            self.dropped[f"STACK record after the first {MAX_RECORDS}"] += 1
        else:
            self._count += 1
            self._keys.append(address)
            self._sizes.append(min(size, _ADDRESS_END - 1))
            self._kinds.append(is_init)
            self._texts.append(text)


def make_record_scanner() -> RecordScanner:
    """Return the fastest scanner that there is."""
    return engine.MODULE.StackRecords(MAX_RECORD, MAX_RECORDS) if engine.MODULE else PythonRecordScanner()


def _hex(word: bytes) -> int:
    """Return a hexadecimal number, that of an address without a bound or a size. Raises ValueError."""
    # int() takes signs and underscores, too.
    if not word.isalnum():
        raise ValueError(word)
    return int(word, 16)


def _step(step: int) -> bytes:
    """Return the text of the difference of two addresses, with a space. Raises ValueError for a large one."""
    if abs(step) >= _ADDRESS_END:
        raise ValueError(step)
    return b"%b " % _signed_hex(step)


def _signed_hex(number: int) -> bytes:
    return b"%x" % number if number >= 0 else b"-%x" % -number


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


def find(page: Page, offset: int, *, has_win: bool = True) -> UnwindRecords:
    """Return the records that apply at a module offset, among the last LOOK_BACK records up to it.

    They are those that rust-minidump uses. A record ends where the next one of its kind begins, of several
    WIN records at one address the first one counts, and frame data is preferred to FPO. Without `has_win`,
    WIN records are not searched, which is faster. Raises MalformedPageFile.
    """
    cfi: tuple[bytes, ...] | None = None
    wins: dict[bytes, tuple[int, re.Match[bytes]]] = {}
    last = bisect_right(page.keys, offset) - 1
    for i in range(last, max(-1, last - LOOK_BACK), -1):
        key, record = page.keys[i], page.record(i)
        if record.startswith(_WIN_START):
            win = _WIN.fullmatch(record) if has_win else None
            if win and wins.setdefault(win[1], (key, win))[0] == key:
                wins[win[1]] = key, win
        elif cfi is None:
            is_covered = offset < key + _size(record)
            cfi = _lines_up_to(record, key, offset) if is_covered else ()
            if not has_win:
                break
    covering = (wins[kind] for kind in _WIN_KINDS if kind in wins)
    found = next((win for key, win in covering if offset < key + int(win[2], 16)), None)
    return UnwindRecords(found and WinRecord(found[0], int(found[3], 16)), cfi or ())


def _size(record: bytes) -> int:
    """Return the size of the range of an INIT record. Raises MalformedPageFile."""
    size = _SIZE.match(record)
    if not size:
        raise MalformedPageFile(f"not a STACK record: {record[:80]!r}")
    return int(size[1], 16)


def _lines_up_to(record: bytes, address: int, offset: int) -> tuple[bytes, ...]:
    """Return the INIT record and its changes up to an offset, by address. Raises MalformedPageFile."""
    first, *changes = record.split(b"\n")
    try:
        if record.startswith(_WHOLE):
            return (first, *[line for line in changes if int(line.split(None, 3)[2], 16) <= offset])
        found, place = [], address
        # A walk does this for each frame, and a function has many changes after the offset, which need no
        # line.
        for change in changes:
            step, _, rules = change.partition(b" ")
            place += int(step, 16)
            if place <= offset:
                found.append((place, rules))
    except (ValueError, IndexError):
        raise MalformedPageFile(f"not changes of call frame information: {record[:80]!r}") from None
    found.sort()
    lines = [b"STACK CFI %b %b" % (_signed_hex(place), rules) for place, rules in found]
    return (b"STACK CFI INIT %x %b" % (address, first), *lines)
