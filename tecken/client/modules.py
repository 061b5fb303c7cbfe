"""Ids and contents of the files of a build, and which of them belong together.

A file is read as the server reads it (`tecken.symbols.formats`), without the server. Executables and debug
files of one build have the same debug id. ELF files without a build id name their debug file in a debug link.

Source: GNU gdb, "Debugging Information in Separate Files", for the debug link and its checksum.
"""

from __future__ import annotations

import zlib
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from tecken.errors import BadModule, Malformed
from tecken.symbols.formats import FileReader, recognise
from tecken.symbols.formats.base import Kind, ObjectInfo, UsabilityCheck
from tecken.symbols.formats.elf import MAGIC as ELF_MAGIC
from tecken.symbols.formats.elf import ElfFile
from tecken.symbols.formats.keys import keys_of_native
from tecken.symbols.ids import ObjectId, is_zero_debug_id, normal_debug_id
from tecken.symbols.layouts import FileKey, symbol_file

CHUNK_BYTES: Final = 1 << 20
MAX_LINK_BYTES: Final = 4096
CHECKSUM_BYTES: Final = 4
NO_FORMAT: Final = "is no symbol file of a known format"
NO_ID: Final = "has no {}: nothing can find its symbols, so build it with one"


class Module(NamedTuple):
    """File of a build: its format, the name of its id in that format, its objects, and its debug link.

    `keys` are those under which the server stores it; none for a file without an id. `problem` is why no
    symbol of a symbol file can be used.
    """

    path: Path
    size: int
    format: str
    identity: str
    objects: tuple[ObjectInfo, ...]
    keys: tuple[FileKey, ...]
    has_code: bool = True
    debug_link: str = ""
    debug_link_checksum: int = 0
    problem: str = ""

    @property
    def ids(self) -> list[str]:
        """Return the debug ids of the objects that have one, in upper case and with an age."""
        ids = (normal_debug_id(info.debug_id) for info in self.objects if info.debug_id)
        return [debug_id for debug_id in ids if not is_zero_debug_id(debug_id)]


class Finding(NamedTuple):
    """Module with the reasons why it will not symbolicate, and with remarks about what is missing."""

    module: Module
    problems: list[str]
    remarks: list[str]


def read_module(path: Path) -> Module | None:
    """Return a file's ids; None if it is in no known format. Raises Malformed, BadModule or OSError."""
    size = path.stat().st_size
    with path.open("rb") as file:
        reader = FileReader(file, size)
        found = recognise(reader)
        if found is None:
            return None
        known, objects = found
        if checker := known.usability_check():
            key = symbol_file(ObjectId.parse(objects[0].debug_file, objects[0].debug_id))
            problem = _find_problem(checker, path)
            return Module(path, size, known.name, known.identity, objects, (key,), problem=problem)
        keys = tuple(keys_of_native(objects[0], path.absolute().parts))
        module = Module(path, size, known.name, known.identity, objects, keys)
        return _with_elf_sections(module, reader) if reader.head.startswith(ELF_MAGIC) else module


def _find_problem(checker: UsabilityCheck, path: Path) -> str:
    """Return why no symbol of a file can be used; nothing when some can."""
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            checker.feed(chunk)
            if not checker.problem():
                break
    return checker.problem()


def _with_elf_sections(module: Module, reader: FileReader) -> Module:
    elf = ElfFile(reader)
    link = elf.content(".gnu_debuglink", MAX_LINK_BYTES)
    name, checksum = link.partition(b"\0")[0].decode(errors="replace"), link[-CHECKSUM_BYTES:]
    return module._replace(
        has_code=elf.has(".text"),
        debug_link=name,
        debug_link_checksum=int.from_bytes(checksum, "little" if elf.is_little_endian else "big"),
    )


def follow_debug_links(modules: Sequence[Module]) -> list[Module]:
    """Give debug files without a build id the id of the executable that names them in its debug link."""
    targets = defaultdict(list)
    for module in modules:
        if module.debug_link and module.ids:
            targets[module.debug_link].append(module)
    return [_with_linked_id(module, targets[module.path.name]) for module in modules]


def _with_linked_id(module: Module, executables: Sequence[Module]) -> Module:
    if module.ids or not executables:
        return module
    checksum = _checksum(module.path)
    for executable in executables:
        if executable.debug_link_checksum == checksum:
            key = executable.keys[0]._replace(file_name=module.path.name)
            objects = tuple(info._replace(debug_id=key.debug_id) for info in module.objects)
            return module._replace(keys=(key,), objects=objects)
    return module


def _checksum(path: Path) -> int:
    checksum = 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            checksum = zlib.crc32(chunk, checksum)
    return checksum


def check(modules: Iterable[Module]) -> list[Finding]:
    """Return what is wrong with each file, and what is missing beside it."""
    modules = list(modules)
    partners: dict[str, list[Module]] = defaultdict(list)
    for module in modules:
        for debug_id in module.ids:
            partners[debug_id].append(module)
    names = {module.path.name: module for module in modules}
    return [
        Finding(module, list(_problems(module, partners, names)), list(_remarks(module, partners)))
        for module in modules
    ]


def _problems(
    module: Module, partners: Mapping[str, Sequence[Module]], names: Mapping[str, Module]
) -> Iterator[str]:
    if not module.ids:
        yield NO_ID.format(module.identity)
        return
    if module.problem:
        yield module.problem
        return
    kinds = {info.kind for info in module.objects}
    found = {info.kind for debug_id in module.ids for other in partners[debug_id] for info in other.objects}
    if Kind.DEBUG in found or kinds in ({Kind.COMMON}, {Kind.SOURCES}):
        return
    if kinds == {Kind.SYMBOL_TABLE}:
        yield "has the names of functions, but no files, lines and inlined calls"
        return
    yield f"has no debug information, and {_describe_missing(module, names)}"


def _describe_missing(module: Module, names: Mapping[str, Module]) -> str:
    """Return which file would have the debug information of an executable."""
    info = module.objects[0]
    if other := names.get(module.debug_link):
        ids = ", ".join(other.ids) or "none"
        return f"{module.debug_link}, which it names, is of another build: its id is {ids}"
    if module.debug_link:
        return f"{module.debug_link}, which it names, is not there"
    if info.debug_file:
        return f"its debug file {info.debug_file} with the id {module.ids[0]} is not there"
    return f"no debug file with the id {module.ids[0]} is there: was it stripped?"


def _remarks(module: Module, partners: Mapping[str, Sequence[Module]]) -> Iterator[str]:
    """Yield what is missing for unwinding stacks, which needs the executable beside a debug file."""
    for debug_id in module.ids:
        others = partners[debug_id]
        if module.format == "pdb" and not any(other.format == "pe" for other in others):
            yield f"the executable with the id {debug_id} is not there: 64-bit stacks cannot be unwound"
        elif module.format == "elf" and not any(other.has_code for other in others):
            yield f"the executable with the id {debug_id} is not there: stacks cannot be unwound"


def describe(module: Module) -> list[str]:
    """Return a line for each object: format, kind, architecture and ids."""
    lines = []
    for info in module.objects:
        names = {"debug file": info.debug_file, "debug link": module.debug_link}
        parts = (f"{name} {text}" for name, text in {**_ids(info), **names}.items() if text)
        lines.append(", ".join((f"{info.format} {info.kind.value} {info.arch}".strip(), *parts)))
    return lines


def find_ids(objects: Iterable[ObjectInfo]) -> dict[str, list[str]]:
    """Return the ids of the objects, each once, by the kind of id."""
    found: dict[str, list[str]] = {}
    for info in objects:
        for name, text in _ids(info).items():
            if text and text not in found.setdefault(name, []):
                found[name].append(text)
    return {name: texts for name, texts in found.items() if texts}


def _ids(info: ObjectInfo) -> dict[str, str]:
    """Return the ids of an object by their kind; an empty text for one that it does not have."""
    return {
        "debug id": normal_debug_id(info.debug_id) if info.debug_id else "",
        "build id": info.build_id,
        "code id": "" if info.code_id.lower() == info.build_id else info.code_id,
    }


def read_all(paths: Iterable[Path]) -> Iterator[tuple[Path, Module | str]]:
    """Yield each file, or the reason why it cannot be read."""
    for path in paths:
        reason = NO_FORMAT
        module = None
        try:
            module = read_module(path)
        except (Malformed, BadModule) as error:
            reason = f"cannot be identified: {error}"
        except OSError as error:
            reason = error.strerror or str(error)
        yield path, module or reason
