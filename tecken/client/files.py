"""Symbol files below the given paths, and the key of each on the server.

A key is `<debug file>/<DEBUG ID>/<file name>`. The key of a symbol file comes from its MODULE record. Native
files (ELF files, PDBs, ...) are found by their first bytes, whatever their names (`libz.so.1.2`, `firefox`),
and their keys come from the ids in them. A file in a symbol store, `<debug or code file>/<ID>/<file name>`,
as `symstore` and `dump_syms --store` write it, has the key of its path.
"""

from __future__ import annotations

import filecmp
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tqdm import tqdm

from tecken.client.modules import NO_FORMAT, NO_ID, Module, follow_debug_links, read_all
from tecken.errors import InvalidInput, Malformed
from tecken.symbols.formats import parse_module
from tecken.symbols.formats.base import Kind
from tecken.symbols.formats.source_bundle import MAGIC as BUNDLE_MAGIC
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType, symbol_file

HEAD_BYTES: Final = 64 << 10
# Seconds after which work counts as long, and its progress bar appears.
BAR_DELAY: Final = 1.0
# Suffixes of native files: plain, as CAB files (symstore /compress), and as build systems pack them.
NATIVE: Final = (
    *(".pdb", ".dll", ".exe", ".pd_", ".dl_", ".ex_"),
    *(".so", ".debug", ".dbg", ".dbg.gz", ".dylib", ".dSYM.tar.bz2"),
)
# First bytes of source bundles, and of ELF, PE, PDB, Portable PDB, WebAssembly and Mach-O files; the last in
# both byte orders, and of fat files.
MAGIC: Final = (
    BUNDLE_MAGIC,
    *(b"\x7fELF", b"MZ", b"Microsoft C/C++ MSF 7.00", b"BSJB", b"\0asm"),
    *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),
    *(b"\xca\xfe\xba\xbe", b"\xca\xfe\xba\xbf"),
)
LONGEST_MAGIC: Final = max(map(len, MAGIC))
LOWER_NATIVE: Final = tuple(suffix.lower() for suffix in NATIVE)
# Suffixes of files that a linker has not made yet; they have no id.
OBJECT_FILES: Final = (".o", ".obj", ".lo")
RANKS: Final = tuple(Kind)


class SymbolFile(NamedTuple):
    """File with its key and its size in bytes. `label` is a name for people instead of its path."""

    key: str
    path: Path
    size: int
    label: str = ""


class Remark(NamedTuple):
    """File that is not sent, and why."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}"


class Found(NamedTuple):
    """Files to send, those that cannot be sent, and what was read of the files.

    `notes` are about files in directories that are no modules, or that have no id.
    """

    files: list[SymbolFile]
    problems: list[Remark]
    notes: list[Remark]
    modules: list[Module]


def find(paths: Iterable[Path], extensions: Sequence[str] | None = None) -> Found:
    """Return the given files, and below the given directories the symbol files and the native files.

    With `extensions` native files are only those with one of these endings. Of two files with one key that
    are not in a symbol store the one with more information is used, and the other one is noted. Otherwise the
    first is used, and the other one is a problem unless both have the same bytes.
    """
    found = Found([], [], [], [])
    by_key: dict[str, SymbolFile] = {}
    roots = list(paths)
    with_key, flat = [], []
    for path in tqdm(
        _walk(roots, extensions), desc="searching", unit=" files", disable=None, leave=False, delay=BAR_DELAY
    ):
        try:
            if key := _key(path):
                _add(SymbolFile(key, path, _size(path)), by_key)
                with_key.append(path)
            else:
                flat.append(path)
        except (InvalidInput, OSError) as error:
            found.problems.append(Remark(path, _reason(error)))
    found.modules.extend(module for _, module in read_all(with_key) if isinstance(module, Module))
    _add_flat(flat, roots, by_key, found)
    found.files.extend(by_key.values())
    return found


def _add_flat(
    paths: Iterable[Path], roots: Sequence[Path], by_key: dict[str, SymbolFile], found: Found
) -> None:
    """Add native files that are not in a symbol store, with the keys of their ids."""
    modules = []
    for path, module in read_all(paths):
        if isinstance(module, Module):
            modules.append(module)
        elif path in roots:
            found.problems.append(Remark(path, module))
        elif module is not NO_FORMAT or path.name.lower().endswith(LOWER_NATIVE):
            found.notes.append(Remark(path, module))
    modules = [module for module in follow_debug_links(modules) if module.keys or not _is_object_file(module)]
    found.modules.extend(modules)
    for module in sorted(modules, key=lambda module: RANKS.index(module.objects[0].kind)):
        if not module.keys:
            lines = found.problems if module.path in roots else found.notes
            lines.append(Remark(module.path, NO_ID.format(module.identity)))
        for key in map(str, module.keys):
            try:
                _add(SymbolFile(key, module.path, module.size), by_key)
            except (InvalidInput, OSError) as error:
                found.notes.append(Remark(module.path, _reason(error)))


def _is_object_file(module: Module) -> bool:
    return module.path.name.lower().endswith(OBJECT_FILES)


def _walk(roots: Iterable[Path], extensions: Sequence[str] | None) -> Iterator[Path]:
    """Yield the files in the order of their names, so that two runs do the same."""
    endings = (
        FileType.SYMBOL_FILE.suffixes if extensions is None else (*FileType.SYMBOL_FILE.suffixes, *extensions)
    )
    lower = tuple(ending.lower() for ending in endings)
    for root in roots:
        if not root.is_dir():
            yield root
            continue
        for folder, subfolders, names in os.walk(root):
            subfolders.sort()
            for path in (Path(folder, name) for name in sorted(names)):
                is_searched = path.name.lower().endswith(lower) or (extensions is None and _is_native(path))
                if is_searched and path.is_file():
                    yield path


def _is_native(path: Path) -> bool:
    """Return whether a file begins like a native one, or lies in a symbol store and is named like one."""
    name = path.name.lower()
    # Libraries have links with other names beside them, which would be sent as well.
    if name.endswith(OBJECT_FILES) or (path.is_symlink() and not _store_key(path)):
        return False
    if name.endswith(LOWER_NATIVE):
        return True
    try:
        with path.open("rb") as file:
            return file.read(LONGEST_MAGIC).startswith(MAGIC)
    except OSError:
        return False


def _size(path: Path) -> int:
    size = path.stat().st_size
    if not size:
        raise Malformed("is empty")
    return size


def _key(path: Path) -> str:
    """Return the key of a symbol file, or of a file in a symbol store; nothing for any other file."""
    if FileType.of_name(path.name) is FileType.SYMBOL_FILE:
        return str(symbol_file(_read_module(path)))
    return _store_key(path)


def _store_key(path: Path) -> str:
    """Return the key of a path in a symbol store; nothing for any other path."""
    *_, name, debug_id, file_name = ("", "", *path.absolute().parts)
    try:
        return f"{ObjectId.parse(name, debug_id)}/{file_name}"
    except InvalidInput:
        return ""


def _add(file: SymbolFile, by_key: dict[str, SymbolFile]) -> None:
    _check_same(by_key.setdefault(file.key, file), file)


def _read_module(path: Path) -> ObjectId:
    with path.open("rb") as file:
        module = parse_module(file.read(HEAD_BYTES) + b"\n")
    return ObjectId.parse(module.debug_file, module.debug_id)


def _check_same(first: SymbolFile, file: SymbolFile) -> None:
    if first.path != file.path and not filecmp.cmp(first.path, file.path, shallow=False):
        raise Malformed(f"is not {first.path}, and both are {file.key}")


def _reason(error: InvalidInput | OSError) -> str:
    return (isinstance(error, OSError) and error.strerror) or str(error)
