"""Symbol stores that Microsoft's `symstore` has written: their transactions, and the files of each.

| path | content |
|---|---|
| `000Admin/server.txt` | a transaction a line: number, `add`, `file`, date, time, product, version, comment |
| `000Admin/0000000001` | a file of the transaction a line: `"xul.pdb\\<id>"`, and where it was copied from |
| `xul.pdb/<id>/xul.pdb`, `xul.pd_` | a file, plain or in a CAB file |
| `xul.pdb/<id>/file.ptr` | the path of a file that is stored elsewhere |
| `index2.txt` | marks a store with two tiers: `xu/xul.pdb/<id>/xul.pdb` |

Source: Microsoft, "Using SymStore" and "SymStore command-line options"; the layout of PyPI's `symstore`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Final, NamedTuple

from tecken.errors import InvalidInput, Malformed
from tecken.symbols.formats import FileReader, recognise
from tecken.symbols.formats.cabinet import read_cabinet
from tecken.symbols.layouts import FileKey
from tecken.upload.archive import IGNORED_DIRECTORIES, IGNORED_FILES, SHORTEST_ID, file_key

ADMIN: Final = "000Admin"
# A store with a million files has lists of some 100 MB in all.
MAX_LIST_BYTES: Final = 256 << 20
MAX_POINTER_BYTES: Final = 4096
POINTER: Final = "file.ptr"
SERVER_FIELDS: Final = 8
_NUMBER: Final = re.compile(r"\d{1,10}")
_ID: Final = re.compile(r"[0-9A-Fa-f]{1,128}")
TIER: Final = 2


class StoreEntry(NamedTuple):
    """Directory with one build of a file."""

    name: str
    some_id: str


class Transaction(NamedTuple):
    """Entries that were added together. `number` is empty for those that no transaction has."""

    number: str
    product: str
    version: str
    comment: str
    entries: tuple[StoreEntry, ...]
    digest: str

    @property
    def title(self) -> str:
        """Number, product, version and comment, for people to read."""
        about = " ".join(filter(None, (self.product, self.version)))
        parts = (self.number or "files of no transaction", about, self.comment and f"({self.comment})")
        return " ".join(filter(None, parts))


class StoreFile(NamedTuple):
    """File of a store. `size` is in bytes."""

    key: FileKey
    path: Path
    size: int


class FileProblem(NamedTuple):
    """StoreEntry or file that cannot be imported, and the reason."""

    name: str
    reason: str


class SymbolStore:
    """A directory in the layout of `symstore`."""

    def __init__(self, root: Path) -> None:
        """Open the store. Raises InvalidInput for a directory that is none."""
        self.root = root.resolve()
        if not self.root.is_dir():
            raise InvalidInput(f"{root}: no such directory")
        self._has_tiers = (self.root / "index2.txt").is_file()

    def transactions(self) -> Iterator[Transaction]:
        """Yield the transactions in their order, then the entries that none of them has.

        Raises InvalidInput for a list that cannot be read.
        """
        listed: set[tuple[str, str]] = set()
        for transaction in self._listed():
            listed.update(_folded(entry) for entry in transaction.entries)
            yield transaction
        others = tuple(entry for entry in self._stored() if _folded(entry) not in listed)
        if others:
            yield Transaction("", "", "", "", others, self._digest(repr(others)))

    def files(self, entry: StoreEntry) -> Iterator[StoreFile | FileProblem]:
        """Yield the files of an entry, and what cannot be imported of it."""
        shown = f"{entry.name}/{entry.some_id}"
        directory = self._directory(entry)
        if directory is None:
            yield FileProblem(shown, "its directory does not exist")
            return
        for path in sorted(directory.iterdir()):
            try:
                if path.name.lower() == POINTER:
                    yield self._follow(entry, path)
                elif path.name.lower() not in IGNORED_FILES and path.is_file():
                    yield self._file(entry, path, path.name)
            except (InvalidInput, OSError) as error:
                yield FileProblem(f"{shown}/{path.name}", str(error))

    def _listed(self) -> Iterator[Transaction]:
        server = self.root / ADMIN / "server.txt"
        for fields in _read_rows(server) if server.is_file() else ():
            if len(fields) < SERVER_FIELDS or fields[1] != "add" or not _NUMBER.fullmatch(fields[0]):
                continue
            number, product, version, comment = fields[0], *fields[5:SERVER_FIELDS]
            entries = tuple(_parse_entries(_read_rows(self.root / ADMIN / number)))
            digest = self._digest(repr((fields, entries)))
            yield Transaction(number, product, version, comment, entries, digest)

    def _digest(self, text: str) -> str:
        """Return a hash of a transaction of this store, by which a second run finds its upload."""
        return hashlib.sha256(f"{self.root}\n{text}".encode()).hexdigest()

    def _stored(self) -> Iterator[StoreEntry]:
        tops = [path for path in sorted(self.root.iterdir()) if path.is_dir()]
        parents = [name for top in tops for name in sorted(top.iterdir())] if self._has_tiers else tops
        for parent in parents:
            if parent.name.lower() not in IGNORED_DIRECTORIES and parent.is_dir():
                for build in sorted(parent.iterdir()):
                    if len(build.name) >= SHORTEST_ID and _ID.fullmatch(build.name) and build.is_dir():
                        yield StoreEntry(parent.name, build.name)

    def _directory(self, entry: StoreEntry) -> Path | None:
        """Return the directory of an entry. Windows does not compare case, so it may have another one."""
        try:
            file_key(f"{entry.name}/{entry.some_id}/{entry.name}")
        except InvalidInput:
            return None
        top = self.root / entry.name[:TIER] if self._has_tiers else self.root
        exact = top / entry.name / entry.some_id
        if exact.is_dir():
            return exact
        return next((path for path in self._spellings.get(_folded(entry), ()) if path.is_dir()), None)

    @cached_property
    def _spellings(self) -> dict[tuple[str, str], list[Path]]:
        spellings: dict[tuple[str, str], list[Path]] = {}
        for entry in self._stored():
            top = self.root / entry.name[:TIER] if self._has_tiers else self.root
            spellings.setdefault(_folded(entry), []).append(top / entry.name / entry.some_id)
        return spellings

    def _file(self, entry: StoreEntry, path: Path, name: str) -> StoreFile:
        """Return a file. Raises InvalidInput for one outside of the store that is of no known format.

        A link or a pointer may lead to any file of this machine, and stored files are public.
        """
        resolved = path.resolve(strict=True)
        if not resolved.is_file():
            raise InvalidInput(f"{path} is no regular file")
        if not resolved.is_relative_to(self.root) and not _has_known_format(resolved):
            raise InvalidInput(f"{resolved} is outside of the store, and of no known format")
        key = file_key(f"{entry.name}/{entry.some_id}/{name}")
        return StoreFile(key, resolved, resolved.stat().st_size)

    def _follow(self, entry: StoreEntry, pointer: Path) -> StoreFile:
        """Return the file that a pointer leads to. Raises InvalidInput."""
        with pointer.open("rb") as file:
            text = _decode(file.read(MAX_POINTER_BYTES)).strip("\r\n\0 ")
        if text.upper().startswith("MSG:"):
            raise InvalidInput(f"it has a message in place of a path: {text[4:].strip()}")
        target = text[5:] if text.upper().startswith("PATH:") else text
        path = pointer.parent / target
        if not target or not path.is_file():
            raise InvalidInput(f"it leads to {target!r}, which is not there")
        return self._file(entry, path, path.name)


def _folded(entry: StoreEntry) -> tuple[str, str]:
    return entry.name.lower(), entry.some_id.lower()


def _parse_entries(rows: Iterable[list[str]]) -> Iterator[StoreEntry]:
    """Yield each entry of a transaction once. A line that is none yields an entry without a directory."""
    lines = dict.fromkeys(row[0] for row in rows if row)
    for line in lines:
        name, _, some_id = line.replace("\\", "/").partition("/")
        yield StoreEntry(name, some_id)


def _read_rows(path: Path) -> Iterator[list[str]]:
    """Yield the fields of each line of a list. Raises InvalidInput."""
    try:
        if path.stat().st_size > MAX_LIST_BYTES:
            raise InvalidInput(f"{path} has more than {MAX_LIST_BYTES} bytes")
        # Each line by itself: the lines of PyPI's `symstore` do not close their last quote.
        for line in _decode(path.read_bytes()).splitlines():
            yield from csv.reader([line])
    except (OSError, csv.Error) as error:
        raise InvalidInput(f"{path} cannot be read: {error}") from error


def _decode(content: bytes) -> str:
    """Return the text of a file that `symstore` wrote, in the code page of its machine."""
    if content.startswith((b"\xff\xfe", b"\xfe\xff")):
        return content.decode("utf-16", "replace")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _has_known_format(path: Path) -> bool:
    with path.open("rb") as file:
        reader = FileReader(file, path.stat().st_size)
        try:
            return read_cabinet(reader) is not None or recognise(reader) is not None
        except Malformed:
            return False
