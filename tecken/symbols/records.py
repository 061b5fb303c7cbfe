"""Finds the records of a Breakpad symbol file without parsing what is inside them.

Source: Breakpad, docs/symbol_files.md. Where that page is silent we do what the `symbolic` library does: a
record is known by its first word and one space, and nothing counts from the first STACK record on.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator
from itertools import islice
from operator import add, eq, gt
from typing import Final, NamedTuple

from tecken.errors import Malformed, TooMuch

MAX_LINE: Final = 4 << 20
MAX_BLOCK: Final = 16 << 20  # a FUNC with all its lines; the largest real ones have some 100 KB
MAX_RECORDS: Final = 8 << 20  # of one kind; 20 bytes of memory each
MAX_PAGE: Final = 1 << 20  # of equal addresses, or of PUBLIC records inside one FUNC

_ADDRESS: Final = rb"[ \t]*(?:m[ \t]+)?([0-9a-fA-F]{1,32})[ \t]+"
_NAMED: Final = rb"[ \t]*([0-9]{1,32})(?![^ \t\r\n])[ \t]*(.*)"
_RECORD: Final = re.compile(
    rb"\n(?:FUNC (?:" + _ADDRESS + rb"([0-9a-fA-F]{1,32})[ \t]+[0-9a-fA-F])?"
    rb"|PUBLIC (?:" + _ADDRESS + rb"[0-9a-fA-F])?[^\n]*"
    rb"|FILE " + _NAMED + rb"|INLINE_ORIGIN " + _NAMED + rb"|STACK )"
)
_FUNC, _PUBLIC, _FILE, _ORIGIN = 2, 3, 5, 7  # the last group of each alternative
_MODULE: Final = re.compile(rb"\nMODULE[ \t]+(\S+)[ \t]+(\S+)[ \t]+([0-9a-fA-F]+)[ \t]++([^\r\n]*[^\s])")
_INFO: Final = re.compile(rb"\s*\nINFO[ \t]+(\S+)[ \t]*([^\r\n]*)")
_NAMES: Final = re.compile(rb"\n(?:FILE|INLINE_ORIGIN) [^\n]*")


class Module(NamedTuple):
    os: str
    arch: str
    debug_id: str
    debug_file: str
    code_id: str
    code_file: str
    generator: str


class Table:
    """Records of one section: `keys` and where in the text each lies.

    `sizes` is what a FUNC covers in the module; 0 for every other record.
    """

    def __init__(self) -> None:
        self.keys = array("I")
        self.starts = array("Q")
        self.lengths = array("I")
        self.sizes = array("I")

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, key: int, start: int, length: int, size: int = 0) -> None:
        self.keys.append(key)
        self.starts.append(start)
        self.lengths.append(length)
        self.sizes.append(size)

    def pop(self) -> None:
        for column in self._columns():
            column.pop()

    def sort(self) -> None:
        """By key; equal keys stay in the order of the file."""
        if any(map(gt, self.keys, islice(self.keys, 1, None))):
            self._keep(array("I", sorted(range(len(self)), key=self.keys.__getitem__)))

    def keep_last(self) -> None:
        """Of equal keys, keep the last; sorted before."""
        if any(map(eq, self.keys, islice(self.keys, 1, None))):
            last = len(self) - 1
            self._keep(array("I", (i for i, k in enumerate(self.keys) if i == last or self.keys[i + 1] != k)))

    def cuts(self, page_size: int) -> Iterator[tuple[int, int]]:
        """Ranges of records that make a page: `page_size` bytes of text or a little more.

        A page answers for its addresses alone, so equal keys stay together, and so do a FUNC and the PUBLIC
        records inside it; a file that stretches a page past MAX_PAGE in this way loses that for the rest.
        """
        keys, sizes, begin = self.keys, self.sizes, 0
        while begin < len(self):
            end, held = self._fill(begin, page_size)
            reach = max(map(add, keys[begin:end], sizes[begin:end]))
            while end < len(self) and held < MAX_PAGE:
                if keys[end] != keys[end - 1] and (sizes[end] or keys[end] >= reach):
                    break
                reach = max(reach, keys[end] + sizes[end])
                held += self.lengths[end]
                end += 1
            yield begin, end
            begin = end

    def _fill(self, begin: int, page_size: int) -> tuple[int, int]:
        held = 0
        for i in range(begin, len(self)):
            held += self.lengths[i]
            if held >= page_size:
                return i + 1, held
        return len(self), held

    def _keep(self, order: array[int]) -> None:
        for name in ("keys", "starts", "lengths", "sizes"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, map(column.__getitem__, order)))

    def _columns(self) -> tuple[array[int], ...]:
        return self.keys, self.starts, self.lengths, self.sizes


class Scanner:
    """Finds records in text given piece by piece; offsets count from the start of the text."""

    def __init__(self) -> None:
        self.symbols = Table()
        self.files = Table()
        self.origins = Table()
        self.dropped: Counter[str] = Counter()
        self.module: Module | None = None
        self.mixed = False  # FILE or INLINE_ORIGIN records lie among the FUNC blocks
        self.end: int | None = None  # where the first STACK record begins
        self._tail = b"\n"  # the line not yet ended, and the newline before it
        self._base = -1  # where the tail begins
        self._open: int | None = None  # start of the FUNC block not yet ended

    @property
    def length(self) -> int:
        """Bytes of text up to the first STACK record."""
        return self._base if self.end is None else self.end

    def feed(self, text: bytes) -> None:
        """Raises Malformed for text without MODULE at its begin or with an endless line, TooMuch."""
        text = self._tail + text
        whole = text.rfind(b"\n")
        if len(text) - whole > MAX_LINE:
            raise Malformed(f"symbol file has a line of more than {MAX_LINE} bytes")
        self._scan(text, whole)
        self._tail = text[whole:]
        if max(map(len, (self.symbols, self.files, self.origins))) > MAX_RECORDS:
            raise TooMuch(f"symbol file has more than {MAX_RECORDS} records of one kind")

    def finish(self) -> None:
        """Raises Malformed when this was no symbol file."""
        last_line_ended = self._tail == b"\n"
        self._scan(self._tail, len(self._tail))
        if self.end is None:
            self._close(self._base - last_line_ended)
        if self.module is None:
            raise Malformed("symbol file is empty")
        if not self.symbols and self.end is None:
            raise Malformed("symbol file has no FUNC and no PUBLIC record")
        self.symbols.sort()
        for names in (self.files, self.origins):
            names.sort()
            names.keep_last()

    def without_names(self, block: bytes) -> bytes:
        """A FUNC block goes on after an INLINE_ORIGIN record inside it."""
        return _NAMES.sub(b"", block) if self.mixed else block

    def _scan(self, text: bytes, end: int) -> None:
        """`text` up to `end` is whole lines, each with the newline before it."""
        if self.module is None and text[:end].strip():
            self.module = _module(text[:end])
        if self.end is None:
            for found in _RECORD.finditer(text, 0, end):
                kind = found.lastindex
                if kind in (_ORIGIN, _FILE):
                    self._name(
                        self.origins if kind == _ORIGIN else self.files,
                        int(found[kind - 1]),
                        found.span(kind),
                    )
                elif self._symbol(found, kind):
                    break
        self._base += end

    def _name(self, names: Table, number: int, span: tuple[int, int]) -> None:
        if self.symbols.keys:
            self.mixed = True
        if number < 1 << 32:
            names.append(number, self._base + span[0], span[1] - span[0])
        else:
            self.dropped["FILE or INLINE_ORIGIN number past 2**32"] += 1

    def _symbol(self, found: re.Match[bytes], kind: int | None) -> bool:
        """Whether it is a STACK record, and with it the end."""
        start = self._base + found.start() + 1
        self._close(start - 1)
        if kind == _FUNC:
            self._func(start, int(found[1], 16), int(found[2], 16))
        elif kind == _PUBLIC:
            self._public(start, int(found[3], 16), found.end() - found.start() - 1)
        elif found[0] == b"\nSTACK ":
            self.end = start - 1
            return True
        else:
            self.dropped[f"{found[0][1:].split()[0].decode()} unreadable"] += 1
        return False

    def _func(self, start: int, address: int, size: int) -> None:
        if address >= 1 << 32:
            self.dropped["FUNC past 4 GiB"] += 1
        elif not size:
            self.dropped["FUNC of zero size"] += 1
        else:
            self.symbols.append(address, start, 0, min(size, (1 << 32) - 1))
            self._open = start

    def _public(self, start: int, address: int, length: int) -> None:
        if address < 1 << 32:
            self.symbols.append(address, start, length)
        else:
            self.dropped["PUBLIC past 4 GiB"] += 1

    def _close(self, end: int) -> None:
        """The FUNC block, if one is open, ends here; it is the last symbol of the table."""
        if self._open is None:
            return
        length = end - self._open
        self._open = None
        if length > MAX_BLOCK:
            self.symbols.pop()
            self.dropped[f"FUNC of more than {MAX_BLOCK} bytes"] += 1
        else:
            self.symbols.lengths[-1] = length


def described(head: bytes) -> Module:
    """What the first bytes of a symbol file say of its module; a line cut short does not count.

    Raises Malformed.
    """
    return _module(b"\n" + head[: head.rfind(b"\n") + 1])


def _module(text: bytes) -> Module:
    """From the first lines: MODULE, and the INFO records right after it."""
    first = _MODULE.match(text)
    if not first:
        if not text.strip():
            raise Malformed("symbol file is empty")
        line = text[1:80].split(b"\n")[0]
        raise Malformed(f"symbol file must begin with MODULE <os> <arch> <id> <name>, not {line!r}")
    said: dict[bytes, bytes] = {}
    position = first.end()
    while info := _INFO.match(text, position):
        said.setdefault(info[1], info[2])
        position = info.end()
    os, arch, debug_id, debug_file = map(_text, first.groups())
    code_id, _, code_file = _text(said.get(b"CODE_ID", b"")).partition(" ")
    return Module(os, arch, debug_id, debug_file, code_id, code_file, _text(said.get(b"GENERATOR", b"")))


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").strip()
