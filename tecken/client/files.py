"""Finds symbol files, and the key under which the server keeps each: `<debug file>/<DEBUG ID>/<file name>`.

A `.sym` file has its own in its MODULE record. A native file (an ELF file, a PDB, ...) has to lie in a
symbol store, `<debug or code file>/<ID>/<file name>`, as `symstore` and `dump_syms --store` write it. There
it needs no known ending (`libz.so.1.2`, `firefox`): its first bytes tell what it is.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tecken.errors import BadInput, Malformed
from tecken.symbols.filetypes import FileType
from tecken.symbols.formats.breakpad import described
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file

HEAD_BYTES: Final = 64 << 10
# Plain, as CAB files (symstore /compress), and as build systems pack them.
NATIVE: Final = (
    *(".pdb", ".dll", ".exe", ".pd_", ".dl_", ".ex_"),
    *(".so", ".debug", ".dbg", ".dbg.gz", ".dylib", ".dSYM.tar.bz2"),
)
# How ELF, PE, PDB and Mach-O files begin, the last in both byte orders, and fat.
MAGIC: Final = (
    *(b"\x7fELF", b"MZ", b"Microsoft C/C++ MSF 7.00"),
    *(
        b"\xfe\xed\xfa\xce",
        b"\xfe\xed\xfa\xcf",
        b"\xce\xfa\xed\xfe",
        b"\xcf\xfa\xed\xfe",
        b"\xca\xfe\xba\xbe",
    ),
)
LONGEST_MAGIC: Final = max(map(len, MAGIC))


class SymbolFile(NamedTuple):
    key: str
    path: Path
    size: int  # bytes


class Found(NamedTuple):
    files: list[SymbolFile]
    problems: list[str]


def find(places: Iterable[Path], extensions: Sequence[str] | None = None) -> Found:
    """Return every file below directories that ends with `.sym` or one of `extensions`, and files as given.

    Without `extensions` these are NATIVE, and everything in a symbol store that begins like a native file.

    Of two files with one key the first counts; the other is a problem unless it is the same to the byte.
    """
    by_key: dict[str, SymbolFile] = {}
    problems = []
    native = NATIVE if extensions is None else extensions
    endings = tuple(ending.lower() for ending in (*FileType.BREAKPAD.suffixes, *native))
    for path in (path for place in places for path in _walk(place, endings, by_magic=extensions is None)):
        try:
            file = _settle(path)
            _refuse_another(by_key.setdefault(file.key, file), file)
        except (BadInput, OSError) as error:
            problems.append(f"{path}: {_reason(error)}")
    return Found(list(by_key.values()), problems)


def _walk(place: Path, endings: tuple[str, ...], *, by_magic: bool) -> Iterator[Path]:
    """In the order of names, so that two runs do the same."""
    if not place.is_dir():
        yield place
        return
    for folder, below, names in os.walk(place):
        below.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            is_named_so = path.name.lower().endswith(endings)
            if (is_named_so or (by_magic and _is_stored_native(path))) and path.is_file():
                yield path


def _is_stored_native(path: Path) -> bool:
    """Return whether a file lies in a symbol store and begins like a native file."""
    try:
        _key_by_place(path)
        with path.open("rb") as file:
            return file.read(LONGEST_MAGIC).startswith(MAGIC)
    except (Malformed, OSError):
        return False


def _settle(path: Path) -> SymbolFile:
    size = path.stat().st_size
    if not size:
        raise Malformed("is empty")
    return SymbolFile(_key(path), path, size)


def _key(path: Path) -> str:
    if FileType.of_name(path.name) is FileType.BREAKPAD:
        module = _said_module(path)
        return str(symbol_file(module))
    return _key_by_place(path)


def _key_by_place(path: Path) -> str:
    *_, name, debug_id, file_name = ("", "", *path.absolute().parts)
    try:
        return f"{ObjectId.parse(name, debug_id)}/{file_name}"
    except BadInput:
        raise Malformed(f"does not lie in a symbol store, <file>/<ID>/{path.name}") from None


def _said_module(path: Path) -> ObjectId:
    with path.open("rb") as file:
        module = described(file.read(HEAD_BYTES) + b"\n")
    return ObjectId.parse(module.debug_file, module.debug_id)


def _refuse_another(first: SymbolFile, file: SymbolFile) -> None:
    if first.path != file.path and not filecmp.cmp(first.path, file.path, shallow=False):
        raise Malformed(f"is not {first.path}, and both are {file.key}")


def _reason(error: BadInput | OSError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
