"""Native file as `symbolic` opens it, and its ids as Tecken reads them."""

from __future__ import annotations

import lzma
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple

from symbolic.debuginfo import Archive
from symbolic.exceptions import SymbolicError

from tecken.dump.symcache import SymCache
from tecken.errors import Malformed
from tecken.symbols.formats import FileReader, identify
from tecken.symbols.formats.base import ObjectInfo
from tecken.symbols.formats.elf import MAGIC, ElfFile
from tecken.symbols.formats.wasm import find_code

SYSTEMS: Final = {"elf": "Linux", "macho": "mac", "pe": "windows", "pdb": "windows", "wasm": "wasm"}
# Section with an ELF file of its own that has symbols, packed with xz (GDB, "MiniDebugInfo").
MINI_SECTION: Final = ".gnu_debugdata"
MINI_PACKED_BYTES: Final = 8 << 20
MINI_BYTES: Final = 64 << 20
MINI_MEMORY_BYTES: Final = 128 << 20
NO_ID: Final = "0" * 33
# Start of a STACK record: an INIT record, with the changes after it, or a WIN record.
RECORD_START: Final = re.compile(rb"^(?=STACK (?:CFI INIT|WIN) )", re.MULTILINE)


class ModuleIdentity(NamedTuple):
    """Identity of a module, as in the first records of its symbol file."""

    os: str
    arch: str
    debug_id: str
    code_id: str
    code_file: str

    def belongs_with(self, other: ModuleIdentity) -> bool:
        """Return whether another file can belong to the module; one without an id can belong to each."""
        return (
            not self.debug_id.strip("0") or not other.debug_id.strip("0") or self.debug_id == other.debug_id
        )


class NativeObject:
    """One object of a native file; of a file for several processors that for `arch`, or the first one.

    Raises Malformed, and errors of `symbolic`, for a file that cannot be read.
    """

    def __init__(self, path: Path, arch: str | None) -> None:
        self._path = path
        self._archive = Archive.open(str(path))
        with path.open("rb") as file:
            objects = identify(FileReader(file, file.seek(0, 2)))
        index = _find(objects, arch)
        self._info = objects[index]
        self._object = list(self._archive.iter_objects())[index]

    @property
    def module(self) -> ModuleIdentity:
        """Identity of the object."""
        info = self._info
        system = SYSTEMS[info.format]
        # Systems other than Windows have a build id in place of a time and a size.
        code_id = info.code_id if system == "windows" else info.code_id.upper()
        code_file = self._path.name if info.format == "pe" else ""
        arch = "unknown" if " " in info.arch else info.arch
        return ModuleIdentity(system, arch, info.debug_id or NO_ID, code_id, code_file)

    def symcache(self) -> SymCache:
        """Return the functions of the object."""
        cache = SymCache(_read(self._object.make_symcache()))
        if not self._is_linked and cache.function_count and "debug" in self._object.features:
            raise Malformed("symbolic cannot read the debug information of a file that is not linked")
        return cache

    @property
    def base(self) -> int:
        """Address from which offsets in the module count."""
        if self._info.format != "wasm":
            return 0
        with self._path.open("rb") as file:
            return find_code(FileReader(file, file.seek(0, 2)))

    def stack_records(self) -> bytes:
        """Return the STACK records; none without unwind information, or when it is broken."""
        is_useful = self._is_linked and (self._info.format != "pdb" or self._info.arch == "x86")
        if not is_useful:
            return b""
        try:
            records = _read(self._object.make_cficache())
        except SymbolicError:
            return b""
        # Those of a PE file begin with a MODULE record of their own.
        return records.partition(b"\n")[2] if records.startswith(b"MODULE ") else records

    def mini_symbols(self) -> Iterator[tuple[int, bytes]]:
        """Yield the symbols of MiniDebugInfo, each as its address and name."""
        content = self._mini_content()
        if content is None:
            return
        # Objects borrow their bytes from the archive.
        archive = Archive.from_bytes(content)
        cache = SymCache(_read(next(archive.iter_objects()).make_symcache()))
        for function in cache.functions():
            yield function.start, cache.function_name(function.number)

    def _mini_content(self) -> bytes | None:
        if self._info.format != "elf":
            return None
        with self._path.open("rb") as file, suppress(Malformed, lzma.LZMAError, EOFError):
            elf = ElfFile(FileReader(file, file.seek(0, 2)))
            packed = elf.content(MINI_SECTION, MINI_PACKED_BYTES)
            content = lzma.LZMADecompressor(memlimit=MINI_MEMORY_BYTES).decompress(packed, MINI_BYTES)
            return content if content.startswith(MAGIC) else None
        return None

    @property
    def _is_linked(self) -> bool:
        return bool(self._object.kind != "rel")


def merge_stack_records(text: bytes, executable: bytes) -> bytes:
    """Return STACK records with those of an executable that are not among them.

    A debug file that is not stripped has the same records as its executable.
    """
    known = set(RECORD_START.split(text))
    return text + b"".join(record for record in RECORD_START.split(executable) if record not in known)


def _read(cache: Any) -> bytes:
    """Return the bytes of a SymCache or a CfiCache, whose methods have no types."""
    content: bytes = cache.open_stream().read()
    return content


def _find(objects: tuple[ObjectInfo, ...], arch: str | None) -> int:
    if not objects or objects[0].format not in SYSTEMS:
        raise Malformed("the file has no format that symbolic reads")
    arches = [info.arch for info in objects]
    if arch is None:
        return 0
    if arch not in arches:
        raise Malformed(f"the file has no program for {arch}, only {', '.join(arches)}")
    return arches.index(arch)
