"""Breakpad symbol files: the object that they belong to, and the places of their records in the text.

Sources: Breakpad, docs/symbol_files.md and docs/processor_design.md. Where these are silent we do what the
`symbolic` library does: the first word and one space decide the kind of a record, and nothing counts from the
first STACK record on.
"""

from __future__ import annotations

import re
from array import array
from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import accumulate, islice
from operator import add, eq, gt
from typing import Final, NamedTuple

from tecken.errors import Malformed, TooLarge
from tecken.symbols.formats.base import Kind, ObjectInfo
from tecken.symbols.formats.reader import FileReader
from tecken.symbols.ids import MAX_NAME
from tecken.symbols.layouts import FileType
from tecken.symbols.pagefile.bounds import MAX_BLOCK, MAX_EQUAL, MAX_NAME_BYTES

MAX_LINE: Final = 4 << 20

# Records of one kind. Each takes 20 bytes of memory, and some more while they are sorted.
MAX_RECORDS: Final = 4 << 20

# Bytes of equal addresses, or of PUBLIC records inside one FUNC, that a page holds beyond its size.
MAX_PAGE: Final = 256 << 10

# Bytes from the first word of a FUNC or PUBLIC record to the end of its last number.
MAX_NUMBERS: Final = 256

# Records that are sorted as Python's own integers, which take 80 bytes each meanwhile.
SORTED_AT_ONCE: Final = 1 << 20
_DIGIT_BITS: Final = 16

# Words of an INLINE record without a call file and with one range.
OLD_WORDS: Final = 6

_ADDRESS: Final = rb"[ \t]*(?:m[ \t]+)?([0-9a-fA-F]{1,32})[ \t]+"
_NAMED: Final = rb"[ \t]*([0-9]{1,32})(?![^ \t\r\n])[ \t]*(.*)"
_RECORD: Final = re.compile(
    rb"\n(?:FUNC (?:" + _ADDRESS + rb"([0-9a-fA-F]{1,32})[ \t]+[0-9a-fA-F])?"
    rb"|PUBLIC (?:" + _ADDRESS + rb"[0-9a-fA-F])?[^\n]*"
    rb"|FILE " + _NAMED + rb"|INLINE_ORIGIN " + _NAMED + rb"|STACK )"
)
# Number of the last group of each alternative in _RECORD, by which a match shows its kind.
_FUNC, _PUBLIC, _FILE, _ORIGIN = 2, 3, 5, 7
_MODULE: Final = re.compile(rb"\nMODULE[ \t]+(\S+)[ \t]+(\S+)[ \t]+([0-9a-fA-F]+)[ \t]+(\S[^\r\n]*)")
_INFO: Final = re.compile(rb"\s*\nINFO[ \t]+(\S+)[ \t]*([^\r\n]*)")
_PREFIXED: Final = re.compile(rb"\n(?:FUNC|PUBLIC) [ \t]*(?:m[ \t]+)?(?:[0-9a-fA-F]{1,32}[ \t]+)?0[xX]")
_NAMES: Final = re.compile(rb"\n(?:FILE|INLINE_ORIGIN) [^\n]*")

# Bytes kept of one line: enough to see that its name is too long.
MAX_TEXT: Final = MAX_NAME_BYTES + MAX_NUMBERS

# Longest MODULE record, whose last field is a file name of at most MAX_NAME characters.
MAX_MODULE_BYTES: Final = 4 * MAX_NAME + 512

PREFIXED: Final = "FUNC or PUBLIC with a 0x prefix"
_ABSOLUTE: Final = "addresses above 4 GiB; the file has absolute instead of module-relative addresses"
_CAUSES: Final = {
    "FUNC past 4 GiB": _ABSOLUTE,
    "PUBLIC past 4 GiB": _ABSOLUTE,
    PREFIXED: "numbers with a 0x prefix; the format has plain hex digits",
}


class ModuleRecord(NamedTuple):
    """Module of a symbol file: the fields of its MODULE record and of the INFO records after it."""

    os: str
    arch: str
    debug_id: str
    debug_file: str
    code_id: str
    code_file: str
    generator: str


class Table:
    """Records of one section: the key of each, and its place in the text.

    `sizes` has the bytes that a FUNC record covers in the module; 0 for every other record.
    """

    def __init__(self) -> None:
        # Arrays instead of objects: a large library has millions of records, and a tuple of four numbers for
        # each would take ten times the memory.
        self.keys = array("I")
        self.starts = array("Q")
        self.lengths = array("I")
        self.sizes = array("I")

    def __len__(self) -> int:
        return len(self.keys)

    def append(self, key: int, start: int, length: int, size: int = 0) -> None:
        """Add a record: its key, and the start and length of its text."""
        self.keys.append(key)
        self.starts.append(start)
        self.lengths.append(length)
        self.sizes.append(size)

    def sort(self) -> None:
        """Sort by key; equal keys stay in the order of the file."""
        if any(map(gt, self.keys, islice(self.keys, 1, None))):
            self._keep(_order(self.keys))

    def keep_first(self, count: int) -> int:
        """Keep the first `count` of equal keys of a sorted table. Return how many records are left out."""
        keys = self.keys
        if not any(map(eq, keys, islice(keys, count, None))):
            return 0
        before = len(keys)
        self._keep(array("I", (i for i in range(before) if i < count or keys[i - count] != keys[i])))
        return before - len(self)

    def keep_last(self) -> None:
        """Keep the last of equal keys; the table must be sorted."""
        if any(map(eq, self.keys, islice(self.keys, 1, None))):
            last = len(self) - 1
            self._keep(array("I", (i for i, k in enumerate(self.keys) if i == last or self.keys[i + 1] != k)))

    def cuts(self, page_size: int) -> Iterator[tuple[int, int]]:
        """Yield the range of records of each page, which has `page_size` bytes of text or a little more.

        A lookup reads one page, so equal keys stay together, and so do a FUNC and the PUBLIC records inside
        it. In a file that extends a page by MAX_PAGE in this way, the rest is cut off into the next page.
        """
        keys, sizes, begin = self.keys, self.sizes, 0
        while begin < len(self):
            end, added = self._fill(begin, page_size), 0
            reach = max(map(add, keys[begin:end], sizes[begin:end]))
            while end < len(self) and added < MAX_PAGE:
                if keys[end] != keys[end - 1] and (sizes[end] or keys[end] >= reach):
                    break
                reach = max(reach, keys[end] + sizes[end])
                added += self.lengths[end]
                end += 1
            yield begin, end
            begin = end

    def _fill(self, begin: int, page_size: int) -> int:
        """Return the end of the records from `begin` on that have `page_size` bytes of text together."""
        size = 0
        for i in range(begin, len(self)):
            size += self.lengths[i]
            if size >= page_size:
                return i + 1
        return len(self)

    def _keep(self, order: array[int]) -> None:
        for name in ("keys", "starts", "lengths", "sizes"):
            column = getattr(self, name)
            setattr(self, name, array(column.typecode, map(column.__getitem__, order)))


def _order(keys: array[int]) -> array[int]:
    """Return the positions of `keys` in the order of their values; equal keys stay in order."""
    # Many keys are sorted by their lower and then by their upper halves. That takes longer than sorted(), but
    # no memory for Python's integers, which would exceed the limit of a worker.
    if len(keys) <= SORTED_AT_ONCE:
        return array("I", sorted(range(len(keys)), key=keys.__getitem__))
    order = array("I", range(len(keys)))
    for shift in (0, _DIGIT_BITS):
        order = _order_by_digit(keys, order, shift)
    return order


def _order_by_digit(keys: array[int], order: array[int], shift: int) -> array[int]:
    mask = (1 << _DIGIT_BITS) - 1
    counts = [0] * (mask + 1)
    for key in keys:
        counts[key >> shift & mask] += 1
    places = [0, *accumulate(counts)]
    sorted_order = array("I", bytes(order.itemsize * len(order)))
    for i in order:
        digit = keys[i] >> shift & mask
        sorted_order[places[digit]] = i
        places[digit] += 1
    return sorted_order


class Scanner:
    """Search for records in text that is given piece by piece; offsets count from the start of the text."""

    def __init__(self) -> None:
        self.symbols = Table()
        self.files = Table()
        self.origins = Table()
        self.dropped: Counter[str] = Counter()
        self.module: ModuleRecord | None = None
        # Whether FILE or INLINE_ORIGIN records lie among the FUNC blocks.
        self.mixed = False
        # Whether the first INLINE record has no call file; None before it.
        self.has_old_calls: bool | None = None
        # Start of the first STACK record.
        self.end: int | None = None
        # Line that has not ended yet, with the newline before it, and its start in the text.
        self._tail = b"\n"
        self._base = -1
        # Start of the FUNC block that has not ended yet.
        self._open: int | None = None

    @property
    def length(self) -> int:
        """Bytes of text up to the first STACK record."""
        return self._base if self.end is None else self.end

    def feed(self, text: bytes) -> None:
        """Scan the next piece of text.

        Raises:
            Malformed: The text does not begin with a MODULE record, or a line has more than MAX_LINE bytes.
            TooLarge: The text has more than MAX_RECORDS records of one kind.
        """
        text = self._tail + text
        last_newline = text.rfind(b"\n")
        if len(text) - last_newline > MAX_LINE:
            raise Malformed(f"symbol file has a line of more than {MAX_LINE} bytes")
        self._scan(text, last_newline)
        self._tail = text[last_newline:]
        self._refuse_too_many()

    def finish(self) -> None:
        """Sort the records. Raise Malformed for text that is no symbol file, or has no symbol to use."""
        last_line_ended = self._tail == b"\n"
        self._scan(self._tail, len(self._tail))
        self._refuse_too_many()
        if self.end is None:
            self._close(self._base - last_line_ended)
        refuse_unusable(self.module, len(self.symbols), self.dropped, has_stack=self.end is not None)
        self.symbols.sort()
        if left_out := self.symbols.keep_first(MAX_EQUAL):
            self.dropped[f"symbol after the first {MAX_EQUAL} of one address"] += left_out
        for names in (self.files, self.origins):
            names.sort()
            names.keep_last()

    def _refuse_too_many(self) -> None:
        if max(map(len, (self.symbols, self.files, self.origins))) > MAX_RECORDS:
            raise TooLarge(f"symbol file has more than {MAX_RECORDS} records of one kind")

    def without_names(self, block: bytes) -> bytes:
        """Return a FUNC block without the FILE and INLINE_ORIGIN records inside it, which do not end it."""
        return _NAMES.sub(b"", block) if self.mixed else block

    def _scan(self, text: bytes, end: int) -> None:
        """Add the records of the text up to `end`: complete lines, each with the newline before it."""
        if self.module is None and text[:end].strip():
            self.module = parse_head(text[:end])
        if self.end is None:
            if self.has_old_calls is None:
                self.has_old_calls = _has_old_calls(text, end)
            # One regular expression finds all records, and the lines in between, which are most of the text,
            # are skipped in C (bench/convert.py).
            for match in _RECORD.finditer(text, 0, end):
                kind = match.lastindex
                if kind in (_ORIGIN, _FILE):
                    names = self.origins if kind == _ORIGIN else self.files
                    self._add_name(names, int(match[kind - 1]), match.span(kind))
                elif self._add_symbol(match, kind):
                    break
        self._base += end

    def _add_name(self, names: Table, number: int, span: tuple[int, int]) -> None:
        if self.symbols.keys:
            self.mixed = True
        if number < 1 << 32:
            names.append(number, self._base + span[0], min(span[1] - span[0], MAX_TEXT))
        else:
            self.dropped["FILE or INLINE_ORIGIN number past 2**32"] += 1

    def _add_symbol(self, match: re.Match[bytes], kind: int | None) -> bool:
        """Add a FUNC or PUBLIC record. Return whether the record is a STACK record, which ends the scan."""
        start = self._base + match.start() + 1
        self._close(start - 1)
        if kind and match.end(kind) - match.start() > MAX_NUMBERS:
            kind = None
        if kind == _FUNC:
            self._add_func(start, int(match[1], 16), int(match[2], 16))
        elif kind == _PUBLIC:
            self._add_public(start, int(match[3], 16), match.end() - match.start() - 1)
        elif match[0] == b"\nSTACK ":
            self.end = start - 1
            return True
        elif _PREFIXED.match(match.string, match.start()):
            self.dropped[PREFIXED] += 1
        else:
            self.dropped[f"{match[0][1:].split(None, 1)[0].decode()} unreadable"] += 1
        return False

    def _add_func(self, start: int, address: int, size: int) -> None:
        if address >= 1 << 32:
            self.dropped["FUNC past 4 GiB"] += 1
        elif not size:
            self.dropped["FUNC of zero size"] += 1
        else:
            self.symbols.append(address, start, 0, min(size, (1 << 32) - 1))
            self._open = start

    def _add_public(self, start: int, address: int, length: int) -> None:
        if address < 1 << 32:
            self.symbols.append(address, start, min(length, MAX_TEXT))
        else:
            self.dropped["PUBLIC past 4 GiB"] += 1

    def _close(self, end: int) -> None:
        """End the FUNC block that is open, if any; it is the last symbol of the table."""
        if self._open is None:
            return
        # One byte more than the limit, so that conversion sees that the block is too long.
        self.symbols.lengths[-1] = min(end - self._open, MAX_BLOCK + 1)
        self._open = None


def refuse_unusable(
    module: ModuleRecord | None, symbols: int, dropped: Mapping[str, int], *, has_stack: bool
) -> None:
    """Raise Malformed for a file that has no symbol to use, with the cause.

    A file with STACK records alone is accepted: unwinders use it.
    """
    if module is None:
        raise Malformed("symbol file is empty")
    if symbols:
        return
    reasons = (reason for reason in dropped if reason.startswith(("FUNC", "PUBLIC")))
    causes = "; ".join(dict.fromkeys(_CAUSES.get(reason, reason) for reason in reasons))
    if causes:
        raise Malformed(f"symbol file has no FUNC or PUBLIC record that can be used: {causes}")
    if not has_stack:
        raise Malformed("symbol file has no FUNC and no PUBLIC record")


def _has_old_calls(text: bytes, end: int) -> bool | None:
    """Return whether the first INLINE record has no call file; None without one.

    Early versions of dump_syms left the call file out. With it, a record has an odd number of words:
    `INLINE`, four numbers, and two for each range.
    """
    start = text.find(b"\nINLINE ", 0, end)
    # Nothing counts from the first STACK record on.
    if start < 0 or text.find(b"\nSTACK ", 0, start + 1) >= 0:
        return None
    words = len(text[start + 1 : end].partition(b"\n")[0].split())
    return words >= OLD_WORDS and words % 2 == 0


def parse_module(head: bytes) -> ModuleRecord:
    """Return the module in the first bytes of a symbol file. Raises Malformed."""
    # The last line may be cut short, so it does not count.
    return parse_head(b"\n" + head[: head.rfind(b"\n") + 1])


def parse_head(text: bytes) -> ModuleRecord:
    """Return the module in the first lines: MODULE, and the INFO records right after it. Raises Malformed.

    A newline precedes each line.
    """
    first = _MODULE.match(text)
    if not first:
        if not text.strip():
            raise Malformed("symbol file is empty")
        line = text[1:80].split(b"\n")[0]
        raise Malformed(f"symbol file must begin with MODULE <os> <arch> <id> <name>, not {line!r}")
    if len(first[0]) > MAX_MODULE_BYTES:
        raise Malformed(f"symbol file has a MODULE record of more than {MAX_MODULE_BYTES} bytes")
    fields: dict[bytes, bytes] = {}
    position = first.end()
    while info := _INFO.match(text, position):
        fields.setdefault(info[1], info[2])
        position = info.end()
    os, arch, debug_id, debug_file = map(_text, first.groups())
    code_id, _, code_file = _text(fields.get(b"CODE_ID", b"")).partition(" ")
    generator = _text(fields.get(b"GENERATOR", b""))
    return ModuleRecord(
        os, arch, debug_id, debug_file, code_id[:MAX_NAME], code_file[:MAX_NAME], generator[:MAX_NAME]
    )


def _text(raw: bytes) -> str:
    return raw.decode(errors="replace").strip()


# Systems whose modules have an ELF build id as their code id.
_ELF_SYSTEMS: Final = ("linux", "android")


class Breakpad:
    """Format of symbol files."""

    name = "breakpad"
    file_types: tuple[FileType, ...] = (FileType.SYMBOL_FILE,)
    identity = "MODULE record"

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        """Return the object in the MODULE and INFO records; none without them."""
        try:
            module = parse_module(file.head)
        except Malformed:
            return ()
        return (
            ObjectInfo(
                Kind.DEBUG,
                self.name,
                module.arch,
                module.debug_file,
                module.debug_id,
                module.code_file,
                module.code_id,
                module.code_id if module.os.lower() in _ELF_SYSTEMS else "",
                module.generator,
            ),
        )

    def usability_check(self) -> SymbolCheck:
        """Return a check of one symbol file."""
        return SymbolCheck()


# Bytes kept of a line that continues in the next chunk; the fields that are checked are its first ones.
LINE_BYTES: Final = 4 << 10
_BEGIN: Final = rb"\n(?:FUNC|PUBLIC) [ \t]*(?:m[ \t]+)?"
_SHORT_ADDRESS: Final = rb" [ \t]*(?:m[ \t]+)?0{0,24}[0-9a-fA-F]{1,8}[ \t]+"
_USABLE: Final = re.compile(
    rb"\n(?:FUNC" + _SHORT_ADDRESS + rb"0{0,24}[1-9a-fA-F][0-9a-fA-F]{0,31}[ \t]+[0-9a-fA-F]"
    rb"|PUBLIC" + _SHORT_ADDRESS + rb"[0-9a-fA-F])"
)
# Reasons why a file has no usable record, in the order in which they are reported.
_REASONS: Final = (
    (re.compile(_BEGIN + rb"0[xX]"), "its addresses begin with 0x, and must be hex digits alone"),
    (
        re.compile(_BEGIN + rb"0{0,24}[1-9a-fA-F][0-9a-fA-F]{8,32}[ \t]"),
        "its addresses are past 4 GiB, and must count from the start of the module",
    ),
    (re.compile(rb"\n(?:FUNC|PUBLIC) "), "none of its FUNC and PUBLIC records can be read"),
)
_NO_RECORD: Final = "it has no FUNC and no PUBLIC record"


class SymbolCheck:
    """Search for one FUNC or PUBLIC record that can be used, or for the reason why there is none."""

    def __init__(self) -> None:
        self._is_usable = False
        self._reasons: set[str] = set()
        self._line = b"\n"

    def feed(self, chunk: bytes) -> None:
        """Search the next bytes of the unpacked file."""
        # Nearly every symbol file has a usable record early on, so that nothing more is searched.
        if self._is_usable:
            return
        text = self._line + chunk
        if _USABLE.search(text):
            self._is_usable = True
            return
        self._reasons |= {reason for pattern, reason in _REASONS if pattern.search(text)}
        begin = text.rfind(b"\n")
        self._line = text[begin : begin + LINE_BYTES]

    def problem(self) -> str:
        """Return why no symbol of the file can be used; "" when some can."""
        if self._is_usable:
            return ""
        return next((reason for _, reason in _REASONS if reason in self._reasons), _NO_RECORD)
