"""Interfaces of sources of symbol files, of uploaded files and of page files, and the request for one file.

A file request is the same, whatever protocol it was requested with.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from enum import Enum
from typing import BinaryIO, Final, NamedTuple, Protocol

from tecken.errors import BadModule
from tecken.symbols.ids import (
    GUID_DIGITS,
    WHOLE_BUILD_ID,
    ObjectId,
    code_id,
    debug_ids_of_code_id,
    file_name,
    is_windows_name,
    normal_debug_id,
)
from tecken.symbols.layouts import FileKey, FileType


class SymbolSource(Protocol):
    """Place that has symbol files."""

    name: str
    """Name in errors; never with credentials."""

    def open(self, module: ObjectId) -> AbstractContextManager[Iterator[bytes]]:
        """Read the symbol file as stored (plain, gzip or zstd), in chunks of any size.

        Entering raises NotFound, Unavailable or TooLarge; so may the iteration, with the last two.
        """


class ServedFile(NamedTuple):
    """A file that a client may get from an upstream.

    The id in `module` is the one that files of this type have: a debug id, the code id of a PE file, a build
    id or a UUID. The name is empty in a request by build id. A packed file is in a CAB file. `hops` is the
    number of servers that have passed the request on, as in `FileRequest`.
    """

    file_type: FileType
    module: ObjectId
    is_packed: bool = False
    hops: int = 0


class Upstream(SymbolSource, Protocol):
    """Source that someone else maintains."""

    served_types: frozenset[FileType]
    """Types of files that `locate` may find."""

    def locate(self, file: ServedFile) -> str:
        """Return the path of a file that is there. Raises NotFound or Unavailable."""
        ...

    def read(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read a file as stored (plain, gzip or zstd), in chunks of any size.

        Entering raises NotFound, Unavailable or TooLarge; so may the iteration, with the last two.
        """
        ...

    def public_url(self, path: str) -> str | None:
        """Return a URL from which anyone can read the file, there or not.

        None where there is none, or where reading it needs credentials.
        """
        ...


class FileContent(NamedTuple):
    """Size in bytes and SHA-256 (lower-case hex) of an unpacked file."""

    size: int
    digest: str


class Stored(NamedTuple):
    """Facts about a stored file: the bytes that `read` returns, and an etag that differs for other bytes.

    `blob` is the SHA-256 of content that is stored once for all equal files; empty for other files.
    """

    size: int
    etag: str
    modified: datetime
    blob: str = ""


class NativeText(Iterator[bytes]):
    """Text of native files, in chunks.

    `part(offsets)` yields a text with the records that lookups of these module offsets need, in a fraction of
    the time; it raises Malformed. It is None for an engine that can only write the whole text.

    `debug_id` is that of the files, where they were found and compared by another id of the module: a whole
    build id, or the code id of a PE file. Of files of an upstream, `format` is that of the main one, and
    `size` their bytes.
    """

    def __init__(
        self,
        chunks: Iterator[bytes],
        part: Callable[[Iterable[int]], Generator[bytes]] | None,
        debug_id: str = "",
        format: str = "",
        size: int = 0,
    ) -> None:
        self._chunks = chunks
        self.part = part
        self.debug_id = debug_id
        self.format = format
        self.size = size

    def __next__(self) -> bytes:
        """Return the next chunk."""
        return next(self._chunks)


class FetchedText(Iterator[bytes]):
    """Symbols from an upstream, in the chunks of `text`. `received` is the number of their bytes so far."""

    def __init__(self, upstream: str, text: Iterator[bytes]) -> None:
        self.upstream = upstream
        self.text = text
        self.received = 0

    def __next__(self) -> bytes:
        """Return the next chunk."""
        chunk = next(self.text)
        self.received += len(chunk)
        return chunk


class NativeStamp(NamedTuple):
    """Native files of a module, each by its path and etag, and the debug id that they share."""

    native_id: str
    files: tuple[tuple[str, str], ...]


class NativeSource(SymbolSource, Protocol):
    """Source of symbols of uploaded native files, which are found by their ids under any name.

    The methods raise NotFound and Unavailable.
    """

    def native_id(self, module: ObjectId) -> str:
        """Return the debug id of a module's native files, also by their build id or code id."""
        ...

    def key(self, module: ObjectId, file_type: FileType) -> FileKey:
        """Return where the file is stored that was requested as a type of file."""
        ...


class OwnFiles(Protocol):
    """Files of any kind that were uploaded to us: the regular ones, or those of try builds.

    Every method raises Unavailable when the storage does not respond. A name that the storage cannot have
    is NotFound when it is read and InvalidInput when it is written.
    """

    name: str
    """Name in errors; never with credentials."""

    def stat(self, key: FileKey) -> Stored:
        """Return size, etag and time of a file. Raises NotFound."""
        ...

    def read(
        self, key: FileKey, start: int = 0, end: int | None = None
    ) -> AbstractContextManager[Iterator[bytes]]:
        """Read the bytes from `start` to `end` in the form of the file's type, in chunks of any size.

        An `end` past the end of the file is the end of the file. Entering raises NotFound, or ValueError
        unless 0 <= start < end. It raises Unavailable when the file ends before `start`: the file must have
        been replaced since its `stat`.
        """
        ...

    def open_file(self, key: FileKey) -> BinaryIO | None:
        """Open the bytes that `read` returns as a file, for reading; the caller closes it.

        None where they are not a file of this host, and for a file that is not there.
        """
        ...

    def recall(self, key: FileKey, stored: Stored) -> bytes | None:
        """Return the bytes of a small file with this `stat` that was read a moment ago; None otherwise.

        It reads memory only and raises nothing. None where `signed_get` may have a URL.
        """
        ...

    def other_case(self, key: FileKey) -> FileKey:
        """Return the file of a Windows module that was put last under this name in another case.

        It may have been deleted since. Raises NotFound, also when `key` is the only spelling.
        """
        ...

    def put(self, key: FileKey, chunks: Iterable[bytes], content: FileContent | None = None) -> Stored:
        """Store a file in the form of its type: as gzip when the type is compressed.

        The file is visible only when it is complete; it replaces an older one. With `content`, which
        describes what `chunks` yield, the chunks of content that is stored already are not read. Raises
        InvalidInput, and the errors of `chunks`.
        """
        ...

    def delete(self, key: FileKey) -> None:
        """Delete a file, if it exists. Content that other files may have, too, stays."""
        ...

    def signed_get(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL from which anyone can read the file, there or not.

        None where there are no URLs, and for a file that is stored in another form than `read` returns.
        """
        ...

    def signed_put(self, key: FileKey, seconds: float) -> str | None:
        """Return a URL to which anyone can PUT the file; None where there are no URLs."""
        ...

    def keys(self) -> Iterator[FileKey]:
        """Yield all keys, in no order."""
        ...

    def entries(self) -> Iterator[tuple[FileKey, Stored]]:
        """Yield all keys with their `stat`, at the cost of `keys`."""
        ...


class PageFiles(Protocol):
    """Page files: one for each module, in all spellings of its name."""

    def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
        """Return the bytes of each [start, end), in their order; every span has at least one byte.

        Raises NotFound, Unavailable, or MalformedPageFile when a span is not wholly in the file.
        """

    def write(self, module: ObjectId, chunks: Iterable[bytes]) -> None:
        """Store a page file, which is visible only when it is complete, in place of an older one.

        Raises Unavailable, TooLarge when the storage allows no name of this length, and the errors of
        `chunks`.
        """

    def delete(self, module: ObjectId) -> None:
        """Delete a page file, if it exists. Raises Unavailable."""

    def entries(self) -> Iterator[tuple[ObjectId, datetime]]:
        """Yield each module with the time of its page file, in no order. Raises Unavailable."""

    def former(self) -> Iterator[str]:
        """Return the paths of derived files that are no longer read. Raises Unavailable."""

    def delete_former(self, path: str) -> None:
        """Delete one of `former`. Raises Unavailable."""


class FetchLimits(NamedTuple):
    """Limits of one fetch: seconds of silence and of the whole request, bytes of the unpacked symbol file."""

    timeout: float = 10.0
    deadline: float = 300.0
    max_bytes: int = 4 << 30


TOO_MANY_REQUESTS = 429
# 4xx statuses about the moment, not about the file: Request Timeout, Too Early, Too Many Requests.
_TEMPORARY = (408, 425, TOO_MANY_REQUESTS)


def is_refusal(status: int) -> bool:
    """Return whether a host that is up refuses this one file, so that a retry would have the same result."""
    return 400 <= status < 500 and status not in _TEMPORARY


# Requests


class ElfPart(Enum):
    """Part of a build that one ELF file has: debug information, or the code that runs."""

    DEBUG_INFO = "debuginfo"
    EXECUTABLE = "executable"


class BuildIdRequest(NamedTuple):
    """An ELF file, requested by its build id in lower-case hex, or one section of it.

    `with_try` includes try files in the search. `hops` is that of `FileRequest`.
    """

    build_id: str
    part: ElfPart
    section: str = ""
    with_try: bool = False
    hops: int = 0

    @property
    def served_file(self) -> ServedFile | None:
        """Return the file to look for at upstreams; None for a section, which they do not have."""
        if self.section:
            return None
        file_type = FileType.DEBUG_ONLY if self.part is ElfPart.DEBUG_INFO else FileType.ELF
        return ServedFile(file_type, ObjectId("", self.build_id), hops=self.hops)


class SourceRequest(NamedTuple):
    """A source file, requested by the build id of its ELF file in lower-case hex and its path.

    `with_try` includes the bundles of try builds in the search.
    """

    build_id: str
    path: str
    with_try: bool = False


# Names that SSQP has in place of those of debug files.
SSQP_NAMES: Final = {"_.debug": FileType.DEBUG_ONLY, "_.dwarf": FileType.DSYM}
# Servers that may have passed a request on. More are a loop of upstreams, as in elfutils' debuginfod.
MAX_HOPS: Final = 8
# Digits of most debug ids. No code id has so many: it has at most 16 digits, or whole bytes.
GUID_AND_AGE = 33


class FileRequest(NamedTuple):
    """A file of a module, requested by a debug id or a code id: 40 digits may be either.

    `key` has the id as a debug id, `given_id` as the client wrote it, in upper case. `with_try` includes try
    files in the search. `root` is the path below which Tecken's own protocol offers the files of this
    request, "" or "/try"; redirects lead there, whatever protocol the request has. `code_file` and `code_id`
    are what the client added about the binary, for the list of missing symbols. `is_msfz` requires that the
    file is a compressed PDB. `hops` is the number of servers that have passed the request on.
    """

    key: FileKey
    given_id: str
    with_try: bool = False
    root: str = ""
    code_file: str = ""
    code_id: str = ""
    is_msfz: bool = False
    hops: int = 0

    @property
    def keys(self) -> tuple[FileKey, ...]:
        """Return where the file may be stored: older uploads under 32 digits have no age in their path."""
        given = self.key._replace(debug_id=self.given_id)
        return (self.key,) if given == self.key else (self.key, given)

    @property
    def build_id_keys(self) -> tuple[FileKey, ...]:
        """Return where the file is stored if the id is a whole build id or a UUID."""
        keys = (self.key._replace(debug_id=debug_id) for debug_id in debug_ids_of_code_id(self.given_id))
        return tuple(key for key in keys if key not in self.keys)

    @property
    def module(self) -> ObjectId:
        """Return the module, provided that the id is a debug id."""
        return ObjectId(self.key.debug_file, self.key.debug_id)

    @property
    def may_be_debug_id(self) -> bool:
        """Return whether the id has the form of a debug id."""
        try:
            ObjectId.parse(self.key.debug_file, self.key.debug_id)
        except BadModule:
            return False
        return True

    @property
    def looks_like_debug_id(self) -> bool:
        """Return whether the id is as long as debug ids are; those of PDB 2.0 are shorter, and obsolete."""
        return self.may_be_debug_id and len(self.given_id) >= GUID_AND_AGE

    @property
    def may_be_code_id(self) -> bool:
        """Return whether symbols may have been requested by a code id."""
        return self.is_symbols and len(self.given_id) != GUID_AND_AGE

    @property
    def is_cabinet(self) -> bool:
        """Return whether a cabinet with the file was requested: its name has `_` as the last letter."""
        return is_windows_name(self.key.file_name) and self.key.file_name.endswith("_")

    @property
    def is_symbols(self) -> bool:
        """Return whether the file is one of symbols, under any name."""
        return self.key.file_type.is_compressed

    @property
    def is_symbol_file(self) -> bool:
        """Return whether the name is the one that symbol suppliers use, so that an upstream may have it."""
        return self.may_be_debug_id and self.key.file_name == FileType.SYMBOL_FILE.file_name(
            self.key.debug_file
        )

    @property
    def served_file(self) -> ServedFile | None:
        """Return the file to look for at upstreams; None for a file that no upstream has."""
        if self.is_symbol_file:
            return ServedFile(FileType.SYMBOL_FILE, self.module, hops=self.hops)
        file_type = None if self.is_msfz else self._native_type()
        if file_type is None:
            return None
        some_id = self.key.debug_id if file_type is FileType.PDB else self.given_id
        return ServedFile(file_type, ObjectId(self.key.debug_file, some_id), self.is_cabinet, self.hops)

    def _native_type(self) -> FileType | None:
        """Return the type of a native file that debuggers request by the name of its module."""
        name, file_type = self.key.debug_file.lower(), self.key.file_type
        if expected := SSQP_NAMES.get(name):
            return expected if self.key.file_name == expected.file_name(self.key.debug_file) else None
        if self.key.file_name.lower() not in (name, f"{name[:-1]}_"):
            return None
        if is_windows_name(name):
            has_debug_id = len(self.given_id) >= GUID_DIGITS
            return file_type if file_type is (FileType.PDB if has_debug_id else FileType.PE) else None
        if len(self.given_id) == WHOLE_BUILD_ID:
            return FileType.ELF
        return FileType.MACHO if len(self.given_id) == GUID_DIGITS else None


def parse_names(file: str, some_id: str, name: str) -> FileRequest:
    """Return the request for the names of a path, as the client wrote them. Raises BadModule."""
    given = code_id(some_id)
    key = FileKey(file_name(file, "debug file name"), normal_debug_id(given), file_name(name))
    return FileRequest(key, given)
