"""Native files in our own storage: which belong to a module, and the text of its symbols.

A module is made from up to four files, which are uploaded in any order and under any names:

| file       | has                                               | found by                      |
|------------|---------------------------------------------------|-------------------------------|
| main       | functions, of the debug file if there is one      | the module's id               |
| executable | unwind information, which debug files do not have | the module's id               |
| common     | what dwz moved out of the main file               | the build id in the main file |
| package    | split units (dwp)                                 | the module's id               |

Rows have the ids that are in the files (`SymbolFile.native_id`); paths decide only for files without ids. All
names of a module share one page file, `ObjectId.without_name`, and each name has a page file that refers to
it. `NativeName` has these names, so that they can be removed together when another file arrives.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from functools import partial
from tempfile import TemporaryFile
from typing import BinaryIO, Final, NamedTuple

from django.conf import settings
from django.db import DatabaseError
from django.db.models import Case, Q, Value, When

from tecken.errors import Malformed, NotFound, Unavailable
from tecken.storage.child_process import ChildLimits
from tecken.storage.dump import DumpEngine, dump, name_code_file
from tecken.storage.models import (
    CONVERTIBLE_KINDS,
    NAME_CHARACTERS,
    Kind,
    NativeName,
    SymbolFile,
    SymbolFileQuerySet,
    match_name,
)
from tecken.storage.port import ElfPart, NativeStamp, NativeText, OwnFiles
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id, is_zero_debug_id
from tecken.symbols.layouts import FileKey, FileType, parse_storage_path

logger = logging.getLogger(__name__)
# Names of one id that have a page file of some hundred kilobytes. Clients may request any names, so the
# oldest one is removed.
MAX_NAMES: Final = 16
_COLUMNS: Final = (
    *("key", "kind", "format", "arch", "etag", "original_size"),
    *("has_code", "has_unwinding", "common_id"),
)


class NativeFile(NamedTuple):
    """Native file of a module. `arch` chooses one of a file for several processors; `size` is in bytes."""

    key: FileKey
    kind: str
    format: str
    arch: str
    etag: str
    size: int
    has_code: bool
    has_unwinding: bool
    common_id: str


class Parents(NamedTuple):
    """Native files from which the symbols of a module are made. Only `main` has to be there."""

    native_id: str
    main: NativeFile
    executable: NativeFile | None
    common: NativeFile | None
    package: NativeFile | None

    @property
    def others(self) -> dict[str, NativeFile]:
        """Return the files besides `main`, by option of `tecken-dump`."""
        others = {"cfi": self.executable, "supplementary": self.common, "package": self.package}
        return {option: file for option, file in others.items() if file}

    @property
    def stamp(self) -> NativeStamp:
        """Return a value that differs for other files."""
        files = (self.main, *self.others.values())
        return NativeStamp(self.native_id, tuple((str(file.key), file.etag) for file in files))

    @property
    def name(self) -> str:
        """Return the name for the MODULE record: paths of ELF debug files often have only a build id."""
        named = self.main if self.main.format == "pdb" else self.executable or self.main
        return named.key.debug_file.removesuffix(FileType.DEBUG_ONLY.suffix)

    def add_code_file(self, start: bytes) -> bytes:
        """Return the start of the text with the name of the PE file in its INFO record."""
        file = self.executable or self.main
        if file.format != "pe":
            return start
        return name_code_file(start, file.key.file_name)

    def missing(self) -> Iterator[str]:
        """Yield a sentence for each file that would give the module more symbols."""
        main = self.main
        if main.kind == Kind.EXECUTABLE:
            yield "Only the executable was uploaded: functions come from its symbol table."
        elif main.kind == Kind.SYMBOL_TABLE:
            yield "No file with debug information was uploaded: functions come from a symbol table."
        # A file with code and without unwind information is one of a system that has none.
        if not (main.has_code or main.has_unwinding or self.executable) and main.format != "wasm":
            some_id = "debug id" if main.format == "pdb" else "build id"
            yield f"The executable for this {some_id} was not uploaded, so there is no unwind information."
        if main.common_id and not self.common:
            common = f"The common file of dwz with build id {main.common_id}"
            yield f"{common} was not uploaded, so functions and inlined calls lack names."


def find_parents(module: ObjectId) -> Parents:
    """Return the native files of a module, by its debug id, build id or code id, whatever its name.

    A minidump names the executable, and the debug file of the same build has another name or none: Debian's
    is called after its build id. Raises NotFound, or Unavailable when the database does not respond.
    """
    rows = SymbolFile.objects.native(try_symbols=module.is_try)
    try:
        native_id = _find_native_id(rows, module)
        of_module = rows.filter(native_id=native_id)
        main = _first(of_module.convertible().order_by(*_best_first()))
        if main is None:
            raise NotFound(f"no native file of {module} has functions")
        executable = None if main.has_code else _first(of_module.convertible().filter(has_code=True))
        common = rows.filter(kind=Kind.COMMON, build_id=main.common_id)
        package = _first(of_module.filter(kind=Kind.COMMON, format="elf"))
        return Parents(native_id, main, executable, _first(common) if main.common_id else None, package)
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error


def find_parents_if_any(module: ObjectId) -> Parents | None:
    """Return what `find_parents` does; None without native files. Raises Unavailable."""
    with suppress(NotFound):
        return find_parents(module)
    return None


def native_stamp(module: ObjectId) -> NativeStamp | None:
    """Return a value that differs after another native file of the module was uploaded.

    None without native files, and without the database: modules of upstreams do not depend on it.
    """
    with suppress(NotFound, Unavailable):
        return find_parents(module).stamp
    return None


def _find_native_id(rows: SymbolFileQuerySet, module: ObjectId) -> str:
    """Return the debug id of the native files that a module names. Raises NotFound."""
    some_id = module.debug_id
    is_usable = len(module.debug_file) <= NAME_CHARACTERS and not is_zero_debug_id(some_id)
    by_debug_id = Q(native_id__in=[some_id, *debug_ids_of_code_id(some_id)])
    by_build_id = Q(build_id=some_id.lower())
    # The code id of a PE file is a time and a size, which several files of one build may share.
    by_code_id = match_name("code_file", module.debug_file) & Q(code_id=some_id)
    found = rows.filter(by_debug_id | by_build_id | by_code_id).order_by("-pk") if is_usable else rows.none()
    native_id = found.values_list("native_id", flat=True).first()
    if native_id is None:
        raise NotFound(f"no native file of {module} was uploaded")
    return native_id


def _best_first() -> tuple[Case, str]:
    """Return the order of rows by the value of their kind; of one kind the newest first."""
    ranks = (When(kind=kind, then=Value(rank)) for rank, kind in enumerate(CONVERTIBLE_KINDS))
    return Case(*ranks, default=Value(len(CONVERTIBLE_KINDS))), "-pk"


def _first(rows: SymbolFileQuerySet) -> NativeFile | None:
    """Return the file of the first row, of rows without an order the newest."""
    ordered = rows if rows.ordered else rows.order_by("-pk")
    row = ordered.values_list(*_COLUMNS).first()
    return NativeFile(parse_storage_path(row[0]), *row[1:]) if row else None


def find_native_key(module: ObjectId, file_type: FileType) -> FileKey:
    """Return where a native file of a module is stored that was requested as a type of file, by any name.

    Raises NotFound, or Unavailable when the database does not respond.
    """
    parents = find_parents(module)
    is_debug = file_type in (FileType.DEBUG_ONLY, FileType.DSYM, FileType.PDB)
    with_code = parents.main if parents.main.has_code else parents.executable
    file = parents.package if file_type is FileType.DWP else parents.main if is_debug else with_code
    if file is None or (file_type is FileType.PDB) != (file.format == "pdb"):
        raise NotFound(f"no native file of {module} has the type {file_type.name}")
    return file.key


def find_elf_key(build_id: str, part: ElfPart, *, try_symbols: bool) -> FileKey:
    """Return where the ELF file is stored that has a part of a build, of several the newest.

    Unlike `find_native_key` it also finds common files of dwz, which debuggers fetch by their own build id.
    Raises NotFound, or Unavailable when the database does not respond.
    """
    has_part = Q(has_code=True) if part is ElfPart.EXECUTABLE else Q(kind__in=(Kind.DEBUG, Kind.COMMON))
    native = SymbolFile.objects.native(try_symbols=try_symbols)
    rows = native.filter(has_part, build_id=build_id, format="elf")
    try:
        file = _first(rows.order_by(*_best_first()))
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    if file is None:
        raise NotFound(f"no {part.value} of build id {build_id} was uploaded")
    return file.key


# Names


def find_affected(row: SymbolFile) -> set[str]:
    """Return the ids of the modules that are made from a native file; they are of its scope, too."""
    affected = {row.native_id} - {""}
    if row.kind == Kind.COMMON and row.build_id:
        files = SymbolFile.objects.native(try_symbols=row.try_symbols)
        dependents = files.filter(common_id=row.build_id)
        affected |= set(dependents.values_list("native_id", flat=True))
    return affected


def register_name(module: ObjectId, native_id: str) -> list[ObjectId]:
    """Note that a name of native files gets a page file. Return the names that are not noted any more.

    Raises Unavailable when the database does not respond.
    """
    names = NativeName.objects.filter(native_id=native_id, try_symbols=module.is_try)
    try:
        NativeName.objects.get_or_create(
            native_id=native_id,
            debug_file=module.name,
            debug_id=module.debug_id,
            try_symbols=module.is_try,
        )
        old = list(names.order_by("-pk")[MAX_NAMES:])
        if old:
            NativeName.objects.filter(pk__in=[name.pk for name in old]).delete()
    except DatabaseError as error:
        raise Unavailable("the database does not answer") from error
    return [ObjectId(name.debug_file, name.debug_id, is_try=name.try_symbols) for name in old]


def registered_names(native_ids: Iterable[str], *, is_try: bool) -> set[ObjectId]:
    """Return every name under which native files with these ids have a page file."""
    rows = NativeName.objects.filter(native_id__in=list(native_ids), try_symbols=is_try)
    names = rows.values_list("debug_file", "debug_id")
    return {ObjectId(*name, is_try=is_try) for name in names}


# Text


class NativeSymbols:
    """Symbol source that writes the text of uploaded native files with an engine.

    `max_bytes()` bounds all files of one module together.
    """

    name = "native files"

    def __init__(self, files: OwnFiles, engine: DumpEngine, max_bytes: Callable[[], int]) -> None:
        self._files = files
        self._engine = engine
        self._max_bytes = max_bytes

    def native_id(self, module: ObjectId) -> str:
        """Return the debug id of a module's native files, also by their build id or code id."""
        return find_parents(module).native_id

    def key(self, module: ObjectId, file_type: FileType) -> FileKey:
        """Return where the file is stored that was requested as a type of file."""
        return find_native_key(module, file_type)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[NativeText]:
        """Write the text of a module's native files, as `SymbolSource.open` does. Also raises Malformed."""
        parents = find_parents(module)
        with ExitStack() as opened:
            main = opened.enter_context(self._opened(parents.main))
            others = {}
            room = self._max_bytes() - parents.main.size
            for option, file in parents.others.items():
                room -= file.size
                # A file that was deleted, or has no room, is left out as if it had not been uploaded.
                with suppress(NotFound):
                    if room >= 0:
                        others[option] = opened.enter_context(self._opened(file))
            whole = opened.enter_context(closing(self._write_text(parents, main, others)))
            part = partial(self._dump, parents, main, others) if self._engine.has_parts else None
            yield NativeText(whole, part)

    @contextmanager
    def _opened(self, file: NativeFile) -> Iterator[BinaryIO]:
        """Give a file: that of the storage, or a copy without a name. Raises NotFound, Unavailable."""
        if stored := self._files.open_file(file.key):
            with stored:
                yield stored
            return
        with TemporaryFile(dir=settings.SPOOL_DIR) as copy:
            with self._files.read(file.key) as chunks:
                for chunk in chunks:
                    copy.write(chunk)
            copy.flush()
            yield copy

    def _write_text(self, parents: Parents, main: BinaryIO, others: dict[str, BinaryIO]) -> Generator[bytes]:
        with closing(self._dump(parents, main, others)) as text:
            try:
                first = next(text, b"")
            except Malformed as error:
                # The main file is of use without them, and a broken one must not take its symbols away.
                if not others:
                    raise
                logger.warning("%s: %s; converting it without its other files", parents.main.key, error)
            else:
                yield first
                yield from text
                return
        yield from self._dump(parents, main, {})

    def _dump(
        self,
        parents: Parents,
        main: BinaryIO,
        others: dict[str, BinaryIO],
        offsets: Iterable[int] = (),
    ) -> Generator[bytes]:
        names = parents.name, parents.main.arch
        text = dump(self._engine, main, *names, ChildLimits(), others=others, offsets=offsets)
        with closing(text):
            yield parents.add_code_file(next(text, b""))
            yield from text
