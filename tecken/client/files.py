"""Symbol files below the given paths, and the key of each on the server.

A key is `<debug file>/<DEBUG ID>/<file name>`. The key of a symbol file comes from its MODULE record. Native
files (ELF files, PDBs, ...) have to lie in a symbol store, `<debug or code file>/<ID>/<file name>`, as
`symstore` and `dump_syms --store` write it. There they need no particular suffix (`libz.so.1.2`, `firefox`),
because their first bytes identify them.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tecken.errors import InvalidInput, Malformed
from tecken.symbols.formats import parse_module
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType, symbol_file

HEAD_BYTES: Final = 64 << 10
# Suffixes of native files: plain, as CAB files (symstore /compress), and as build systems pack them.
NATIVE: Final = (
    *(".pdb", ".dll", ".exe", ".pd_", ".dl_", ".ex_"),
    *(".so", ".debug", ".dbg", ".dbg.gz", ".dylib", ".dSYM.tar.bz2"),
)
# First bytes of ELF, PE, PDB and Mach-O files; the last in both byte orders, and of universal binaries.
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
    """File with its key and its size in bytes."""

    key: str
    path: Path
    size: int


class Found(NamedTuple):
    """Files to send, and a line for each that cannot be sent."""

    files: list[SymbolFile]
    problems: list[str]


def find(paths: Iterable[Path], extensions: Sequence[str] | None = None) -> Found:
    """Return the given files, and below the given directories the symbol files and those with an extension.

    Without `extensions` these are NATIVE, and in symbol stores every file that begins like a native one. Of
    two files with one key the first is used; the other is a problem unless both have the same bytes.
    """
    by_key: dict[str, SymbolFile] = {}
    problems = []
    native = NATIVE if extensions is None else extensions
    endings = tuple(ending.lower() for ending in (*FileType.SYMBOL_FILE.suffixes, *native))
    for path in (path for root in paths for path in _walk(root, endings, by_magic=extensions is None)):
        try:
            file = _identify(path)
            _check_same(by_key.setdefault(file.key, file), file)
        except (InvalidInput, OSError) as error:
            problems.append(f"{path}: {_reason(error)}")
    return Found(list(by_key.values()), problems)


def _walk(root: Path, endings: tuple[str, ...], *, by_magic: bool) -> Iterator[Path]:
    """Yield the files in the order of their names, so that two runs do the same."""
    if not root.is_dir():
        yield root
        return
    for folder, subfolders, names in os.walk(root):
        subfolders.sort()
        for path in (Path(folder, name) for name in sorted(names)):
            has_ending = path.name.lower().endswith(endings)
            if (has_ending or (by_magic and _is_stored_native(path))) and path.is_file():
                yield path


def _is_stored_native(path: Path) -> bool:
    """Return whether a file lies in a symbol store and begins like a native file."""
    try:
        _key_from_path(path)
        with path.open("rb") as file:
            return file.read(LONGEST_MAGIC).startswith(MAGIC)
    except (Malformed, OSError):
        return False


def _identify(path: Path) -> SymbolFile:
    size = path.stat().st_size
    if not size:
        raise Malformed("is empty")
    return SymbolFile(_key(path), path, size)


def _key(path: Path) -> str:
    if FileType.of_name(path.name) is FileType.SYMBOL_FILE:
        module = _read_module(path)
        return str(symbol_file(module))
    return _key_from_path(path)


def _key_from_path(path: Path) -> str:
    *_, name, debug_id, file_name = ("", "", *path.absolute().parts)
    try:
        return f"{ObjectId.parse(name, debug_id)}/{file_name}"
    except InvalidInput:
        raise Malformed(f"does not lie in a symbol store, <file>/<ID>/{path.name}") from None


def _read_module(path: Path) -> ObjectId:
    with path.open("rb") as file:
        module = parse_module(file.read(HEAD_BYTES) + b"\n")
    return ObjectId.parse(module.debug_file, module.debug_id)


def _check_same(first: SymbolFile, file: SymbolFile) -> None:
    if first.path != file.path and not filecmp.cmp(first.path, file.path, shallow=False):
        raise Malformed(f"is not {first.path}, and both are {file.key}")


def _reason(error: InvalidInput | OSError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
