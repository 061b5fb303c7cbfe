"""Places where a requested file may be, and what a search finds in them.

The symbol file of native files is the text that their conversion has stored. While it is not converted, its
place raises ConversionPending.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

from tecken.errors import (
    MalformedPageFile,
    NotFound,
    Pending,
)
from tecken.storage.port import (
    FileRequest,
    NativeSource,
    OwnFiles,
    PageFiles,
    Stored,
)
from tecken.storage.presence_cache import native_file_key, other_case_key, section_key
from tecken.storage.sections import SectionSpan, find_section
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, FileType
from tecken.symbols.pagefile.file import Header, read_header


class ConversionPending(Pending):
    """Symbols of native files that are not converted. `module` is the one to convert."""

    def __init__(self, module: ObjectId) -> None:
        super().__init__(f"{module} is not converted yet")
        self.module = module


class OwnFile(NamedTuple):
    """A file in our own storage, regular or of a try build, or one section of it."""

    files: OwnFiles
    key: FileKey
    stored: Stored
    section: SectionSpan | None = None

    @property
    def span(self) -> SectionSpan:
        """Place in the stored file of the bytes that were requested."""
        return self.section or SectionSpan(0, self.stored.size)

    @property
    def etag(self) -> str:
        """Text that differs for other bytes."""
        return "-".join(map(str, (self.stored.etag, *(self.section or ()))))


class ConvertedSymbols(NamedTuple):
    """The symbols of native files, in the page file of `ObjectId.without_name`."""

    page_files: PageFiles
    module: ObjectId


class UpstreamFile(NamedTuple):
    """A file that only an upstream has, and its path there; `Search.upstream` takes the name."""

    upstream: str
    path: str
    file_type: FileType


class OtherName(NamedTuple):
    """The stored name of a file that was requested by code id or build id, or in another case."""

    key: FileKey


Found = OwnFile | ConvertedSymbols | UpstreamFile | OtherName


Result = TypeVar("Result")


class SearchPlace(NamedTuple, Generic[Result]):
    """One place where a requested file may be.

    `locate` raises NotFound or Unavailable. It returns what the presence cache keeps under `presence_key`, in
    JSON's types, and `result` turns that into the result of the search.
    """

    presence_key: str
    locate: Callable[[], list[Any]]
    result: Callable[[list[Any]], Result]


Place = SearchPlace[Found]


PresenceKey = Callable[[FileKey], str]


def named_places(request: FileRequest, files: OwnFiles, presence_key: PresenceKey) -> Iterator[Place]:
    """Yield the places of the names as requested."""
    for key in request.keys:
        yield SearchPlace(presence_key(key), partial(_stat, files, key), partial(_own_file, files, key))


def renamed_places(request: FileRequest, files: OwnFiles, presence_key: PresenceKey) -> Iterator[Place]:
    """Yield the places of other names that the file may have."""
    for key in request.build_id_keys:
        yield SearchPlace(presence_key(key), partial(_stat, files, key), partial(_other_name, key))
    if is_windows_name(request.key.debug_file):
        yield SearchPlace(
            other_case_key(presence_key(request.key)),
            lambda: list(files.other_case(request.key)),
            lambda fact: OtherName(FileKey(*fact)),
        )


def _stat(files: OwnFiles, key: FileKey) -> list[Any]:
    stored = files.stat(key)
    return [stored.size, stored.etag, stored.modified.timestamp()]


def _own_file(files: OwnFiles, key: FileKey, fact: list[Any]) -> OwnFile:
    size, etag, modified = fact
    return OwnFile(files, key, Stored(size, etag, datetime.fromtimestamp(modified, UTC)))


def elf_place(
    files: OwnFiles, find: Callable[[], FileKey], presence_key: str
) -> SearchPlace[OwnFile | UpstreamFile]:
    """Return the place of an ELF file that `find` finds by its build id."""

    def locate() -> list[Any]:
        key = find()
        return [list(key), _stat(files, key)]

    return SearchPlace(presence_key, locate, lambda fact: _own_file(files, FileKey(*fact[0]), fact[1]))


def section_place(file: OwnFile, name: str) -> SearchPlace[OwnFile]:
    """Return the place of a section of a file."""
    return SearchPlace(
        section_key(file.stored.etag, name),
        lambda: list(find_section(file.files, file.key, file.stored.size, name)),
        lambda fact: file._replace(section=SectionSpan(*fact)),
    )


def native_place(
    request: FileRequest, native: NativeSource, page_files: PageFiles, *, is_try: bool = False
) -> Place:
    """Return the place of native files that have another name."""
    file_type = request.key.file_type
    module = ObjectId(request.key.debug_file, request.given_id, is_try=is_try)
    key = native_file_key(module, file_type)
    if not request.is_symbols:
        return SearchPlace(
            key, lambda: list(native.key(module, file_type)), lambda fact: OtherName(FileKey(*fact))
        )
    return SearchPlace(
        key,
        partial(_find_converted, native, page_files, module),
        lambda fact: ConvertedSymbols(page_files, ObjectId.without_name(fact[0], is_try=is_try)),
    )


def _find_converted(native: NativeSource, page_files: PageFiles, module: ObjectId) -> list[Any]:
    native_id = native.native_id(module)
    nameless = ObjectId.without_name(native_id, is_try=module.is_try)
    try:
        Header.parse(read_header(partial(page_files.read, nameless)))
    except (NotFound, MalformedPageFile):
        raise ConversionPending(nameless) from None
    return [native_id]


def _other_name(key: FileKey, _fact: list[Any]) -> OtherName:
    return OtherName(key)
