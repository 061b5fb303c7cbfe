"""The one order in which places are searched for a file.

    1. regular files of our own storage: under the requested names, then by code id or build id and in
       another case, then native files by the ids in them, whatever their name
    2. upstreams, in the order of SYMBOL_SOURCES; downloads leave out those for symbolication only
    3. try files, in the same ways as regular ones, only when the request includes them

The symbol file of native files is the text that their conversion has stored. While it is not converted, the
search ends with ConversionPending.

`Search` has the places of one process. Conversion reads the symbol file of a module from `Search.symbols`,
the chain of places 1 and 2. Downloads call `Search.find`, which consults the presence cache first, or
`Search.find_by_build_id`, which needs no names.

A file is absent only when every place has confirmed it. When one was disabled, the result is SourceDisabled;
when one did not respond, it is Unavailable, since the file may be there. Refused is about one file: it counts
as absent, because the same request to the same host has the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from functools import partial
from typing import Any, Generic, NamedTuple, Protocol, TypeGuard, TypeVar

from tecken.errors import (
    AccessDenied,
    IncompleteId,
    Malformed,
    MalformedPageFile,
    NotAsked,
    NotFound,
    Pending,
    SourceDisabled,
    TeckenError,
    Throttled,
    TooLarge,
    Unavailable,
)
from tecken.storage.backends.files import OwnSymbols
from tecken.storage.lookups import (
    Fact,
    PresenceCache,
    SourceResult,
    Unknown,
    build_id_key,
    code_file_key,
    native_file_key,
    other_case_key,
    regular_file_key,
    section_key,
    try_file_key,
    upstream_build_id_key,
    upstream_file_key,
)
from tecken.storage.port import (
    MAX_HOPS,
    BuildIdRequest,
    ElfPart,
    FetchedText,
    FileRequest,
    NativeSource,
    OwnFiles,
    PageFiles,
    ServedFile,
    Stored,
    SymbolSource,
    Upstream,
)
from tecken.storage.sections import SectionSpan, find_section
from tecken.storage.upstreams.entry import UpstreamEntry
from tecken.symbols.ids import ObjectId, is_windows_name
from tecken.symbols.layouts import FileKey, FileType, symbol_file
from tecken.symbols.pagefile.file import Header, read_header

# Errors whose text is part of the reason why a module is missing.
REASONS = (SourceDisabled, AccessDenied, IncompleteId, Malformed, TooLarge)

ABSENT = "Symbol Not Found"

Record = Callable[[ObjectId, Sequence[SourceResult]], None]
"""Receives the results of one search; raises nothing."""


def _discard(_module: ObjectId, _results: Sequence[SourceResult]) -> None:
    pass


Source = TypeVar("Source", bound=SymbolSource)
Content = TypeVar("Content")


class SourceChain:
    """Sources of symbol files, searched in order: the first that has the module is used.

    Raises NotFound only when every source has confirmed it, and SourceDisabled when every enabled one has.
    Malformed and TooLarge are about a file that cannot be used, where no other source has the module.
    """

    def __init__(self, sources: Iterable[SymbolSource], record: Record = _discard) -> None:
        self.sources = tuple(sources)
        self.name = chain_name(self.sources)
        self._record = record

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Read the symbol file from the first source that has it, as `SymbolSource.open` does."""
        results: list[SourceResult] = []
        with ExitStack() as opened:
            try:
                _, chunks = call_first(
                    self.sources, lambda source: opened.enter_context(source.open(module)), module, results
                )
            finally:
                self._record(module, results)
            yield chunks


def chain_name(sources: Sequence[SymbolSource]) -> str:
    """Return the names of all sources, for messages."""
    return ", ".join(source.name for source in sources) or "no symbol source"


def call_first(
    sources: Sequence[Source],
    call: Callable[[Source], Content],
    module: ObjectId,
    results: list[SourceResult],
) -> tuple[str, Content]:
    """Return the name of the first source for which `call` raises nothing, and what it returned.

    The result of each source is added to `results`. Raises what `SourceChain` raises.
    """
    for source in sources:
        error: TeckenError | None = None
        began = time.monotonic()
        try:
            return source.name, call(source)
        except (NotFound, Unavailable) as missing:
            error = missing
        except (Malformed, TooLarge) as unusable:
            # An upstream that sends another file, or too much, must not hide the file of the next.
            error = unusable
        except TeckenError as failed:
            error = failed
            raise
        finally:
            results.append(SourceResult(source.name, error, time.monotonic() - began))
    raise _failure(f"{module} is not in {chain_name(sources)}", [result.error for result in results])


def _failure(text: str, errors: Sequence[TeckenError | None]) -> TeckenError:
    unavailable = [error for error in errors if isinstance(error, Unavailable)]
    if unavailable:
        return combined(unavailable)
    is_off = any(isinstance(error, SourceDisabled) for error in errors)
    unusable = [error for error in errors if isinstance(error, Malformed | TooLarge)]
    if unusable and not is_off:
        return unusable[0]
    reasons = [str(error) for error in errors if isinstance(error, REASONS)]
    text = "; ".join([text, *reasons])
    return SourceDisabled(text) if is_off else NotFound(text)


def combined(errors: Sequence[Unavailable]) -> Unavailable:
    """Return one error for places that did not respond: Throttled when all of them were."""
    kind = Throttled if all(isinstance(error, Throttled) for error in errors) else Unavailable
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    return kind("; ".join(map(str, errors)), retry_after=min(waits, default=None))


class ConversionPending(Pending):
    """Symbols of native files that are not converted. `module` is the one to convert."""

    def __init__(self, module: ObjectId) -> None:
        super().__init__(f"{module} is not converted yet")
        self.module = module


def absence_text(request: FileRequest | BuildIdRequest) -> str:
    """Return the text of the NotFound for a file that no place has."""
    if isinstance(request, BuildIdRequest) and request.section:
        return f"no file of build id {request.build_id} has a section {request.section}"
    return ABSENT


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


class FindByCodeId(Protocol):
    """Search for a module by its code file and code id; see `tecken.storage.models.module_of`."""

    def __call__(self, code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
        """Return the module. Raises NotFound or Unavailable."""
        ...


Place = SearchPlace[Found]


class FindByBuildId(Protocol):
    """Search for an ELF file by its build id; see `tecken.storage.native.find_elf_key`."""

    def __call__(self, build_id: str, part: ElfPart, *, try_symbols: bool) -> FileKey:
        """Return where the file is. Raises NotFound or Unavailable."""
        ...


class Search:
    """All places of this process where files may be, in order."""

    def __init__(
        self,
        *,
        regular: OwnFiles,
        try_files: OwnFiles,
        upstreams: Sequence[SwitchableSource],
        presence: PresenceCache,
        find_by_code_id: FindByCodeId,
        find_by_build_id: FindByBuildId,
        native: NativeSource | None = None,
        try_native: NativeSource | None = None,
        page_files: PageFiles | None = None,
        record: Record = _discard,
    ) -> None:
        """Initialize the search. `page_files` has the symbols of native files."""
        self.regular = regular
        self.try_files = try_files
        self.native = native
        self._try_native = try_native
        self._page_files = page_files
        self.upstreams = tuple(upstreams)
        self._served = tuple(upstream for upstream in upstreams if upstream.is_served)
        converted = [native] if native else []
        self.symbols = SourceChain([OwnSymbols(regular), *converted, *upstreams], record)
        of_try = [try_native] if try_native else []
        self.try_symbols = SourceChain([OwnSymbols(try_files), *of_try], record)
        types = (upstream.upstream.served_types for upstream in self._served)
        self._served_types = frozenset[FileType]().union(*types)
        self._presence = presence
        self._find_by_code_id = find_by_code_id
        self._find_by_build_id = find_by_build_id

    @property
    def has_disabled_upstream(self) -> bool:
        """Return whether an upstream is disabled, so that no file can be confirmed as missing."""
        return any(upstream.is_off for upstream in self.upstreams)

    def upstream(self, name: str) -> SwitchableSource:
        """Return the upstream of an UpstreamFile. Raises NotFound when it is disabled or was removed."""
        for upstream in self._served:
            if upstream.name == name:
                if upstream.is_off:
                    raise SourceDisabled(f"{name} is switched off")
                return upstream
        raise NotFound(f"{name} is no upstream for downloads any more")

    def find(self, request: FileRequest, *, fresh: bool = False) -> Found:
        """Return the first place that has the file, after one round trip when all places are cached.

        `fresh` consults every place again. Raises NotFound only when every place has confirmed it, otherwise
        Unavailable. Raises ConversionPending at once: the text comes before those of the places that follow.
        """
        return self._find_first(list(self._places(request)), fresh=fresh)

    def find_by_build_id(self, request: BuildIdRequest, *, fresh: bool = False) -> OwnFile | UpstreamFile:
        """Return the ELF file of a build id, or the section of it that was requested.

        A section is that of the debug file, or of the executable where the debug file does not have its
        bytes, in our own storage. Raises NotFound and Unavailable as `find` does.
        """
        if not request.section:
            return self._find_first([*self._elf_places(request)], fresh=fresh)
        for part in ElfPart:
            with suppress(NotFound):
                places = [*self._elf_places(request._replace(part=part))]
                file = self._find_first(places, fresh=fresh)
                assert isinstance(file, OwnFile)
                return self._find_first([_section_place(file, request.section)], fresh=fresh)
        raise NotFound(absence_text(request))

    def places(self, request: FileRequest | BuildIdRequest) -> list[SearchPlace[Any]]:
        """Return the places that are searched, in order; for a section those of the files that may have it.

        When all of them are known to be without the file, the search ends with `absence_text`.
        """
        if isinstance(request, FileRequest):
            return list(self._places(request))
        parts = ElfPart if request.section else (request.part,)
        return [place for part in parts for place in self._elf_places(request._replace(part=part))]

    def _elf_places(self, request: BuildIdRequest) -> Iterator[SearchPlace[OwnFile | UpstreamFile]]:
        """Yield the places of an ELF file, in the order of the module's docstring."""
        yield self._elf_place(request, is_try=False)
        if self._is_served(file := request.served_file):
            yield self._upstream_place(upstream_build_id_key(request.build_id, request.part), file)
        if request.with_try:
            yield self._elf_place(request, is_try=True)

    def _elf_place(self, request: BuildIdRequest, *, is_try: bool) -> SearchPlace[OwnFile | UpstreamFile]:
        files = self.try_files if is_try else self.regular
        find = partial(self._find_by_build_id, request.build_id, request.part, try_symbols=is_try)
        return SearchPlace(
            build_id_key(request.build_id, request.part, is_try=is_try),
            partial(_locate_elf, files, find),
            lambda fact: _own_file(files, FileKey(*fact[0]), fact[1]),
        )

    def _find_first(self, places: Sequence[SearchPlace[Result]], *, fresh: bool) -> Result:
        unavailable: list[Unavailable] = []
        for place, cached in zip(places, self._cached(places, fresh=fresh), strict=True):
            try:
                fact = self._locate(place) if isinstance(cached, Unknown) else cached
            except ConversionPending:
                raise
            except Unavailable as error:
                unavailable.append(error)
                continue
            if fact is not None:
                return place.result(fact)
        # One place that did not respond is enough to leave the result open: it may have the file.
        if unavailable:
            raise combined(unavailable)
        raise NotFound(ABSENT)

    def _places(self, request: FileRequest) -> Iterator[Place]:
        """Yield the places where the file may be, in the order of the module's docstring."""
        yield from _named(request, self.regular, regular_file_key)
        if request.may_be_code_id:
            yield self._by_code_id(request)
        yield from _renamed(request, self.regular, regular_file_key)
        # A client that asks for a cabinet would unpack the file itself and fail.
        if self.native and self._page_files and not request.is_cabinet:
            yield _native_place(request, self.native, self._page_files)
        if self._is_served(file := request.served_file):
            yield self._upstream_place(upstream_file_key(request.key), file)
        if request.with_try:
            yield from _named(request, self.try_files, try_file_key)
            yield from _renamed(request, self.try_files, try_file_key)
            if self._try_native and self._page_files and not request.is_cabinet:
                yield _native_place(request, self._try_native, self._page_files, is_try=True)

    def _by_code_id(self, request: FileRequest) -> Place:
        names = request.key.debug_file, request.given_id
        with_try = request.with_try
        return SearchPlace(
            code_file_key(*names, with_try=with_try),
            lambda: _module_names(self._find_by_code_id(*names, with_try=with_try)),
            lambda fact: OtherName(symbol_file(ObjectId(*fact))),
        )

    def _is_served(self, file: ServedFile | None) -> TypeGuard[ServedFile]:
        """Return whether upstreams are asked for a file. A loop of upstreams ends here."""
        return file is not None and file.file_type in self._served_types and file.hops < MAX_HOPS

    def _upstream_place(self, presence_key: str, file: ServedFile) -> SearchPlace[Any]:
        return SearchPlace(
            presence_key,
            lambda: [*call_first(self._served, lambda upstream: upstream.locate(file), file.module, [])],
            lambda fact: UpstreamFile(fact[0], fact[1], file.file_type),
        )

    def _cached(self, places: Sequence[SearchPlace[Any]], *, fresh: bool) -> Sequence[Fact | Unknown]:
        names = [place.presence_key for place in places]
        if not fresh:
            return self._presence.get(names)
        with suppress(Unavailable):
            self._presence.forget(names)
        return [Unknown()] * len(names)

    def _locate(self, place: SearchPlace[Any]) -> Fact:
        # The lease comes before the search of the place. Taken afterwards, it would allow storing a fact from
        # before an upload that came in between.
        lease = self._presence.lease(place.presence_key)
        fact: Fact = None
        doubtful = False
        try:
            fact = place.locate()
        except NotFound as error:
            # A refusal by our own storage may come from wrong permissions, which someone will repair.
            doubtful = isinstance(error, SourceDisabled | AccessDenied)
        self._presence.store(place.presence_key, lease, fact, doubtful=doubtful)
        return fact


def _module_names(module: ObjectId) -> list[Any]:
    return [module.debug_file, module.debug_id]


PresenceKey = Callable[[FileKey], str]


def _named(request: FileRequest, files: OwnFiles, presence_key: PresenceKey) -> Iterator[Place]:
    """Yield the places of the names as requested."""
    for key in request.keys:
        yield SearchPlace(presence_key(key), partial(_stat, files, key), partial(_own_file, files, key))


def _renamed(request: FileRequest, files: OwnFiles, presence_key: PresenceKey) -> Iterator[Place]:
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


def _locate_elf(files: OwnFiles, find: Callable[[], FileKey]) -> list[Any]:
    key = find()
    return [list(key), _stat(files, key)]


def _section_place(file: OwnFile, name: str) -> SearchPlace[OwnFile]:
    return SearchPlace(
        section_key(file.stored.etag, name),
        lambda: list(find_section(file.files, file.key, file.stored.size, name)),
        lambda fact: file._replace(section=SectionSpan(*fact)),
    )


def _native_place(
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


# Upstreams that can be disabled

Off = Callable[[], Iterable[str]]
"""Returns URLs of disabled upstreams, or parts of them."""


class SwitchableSource:
    """An upstream that raises SourceDisabled while one of the texts of `off()` is in its URL or name.

    It raises NotAsked for modules with names, or of platforms, that the rules after its URL leave out.
    `is_served` tells whether downloads find its files, too.
    """

    def __init__(self, upstream: Upstream, url: str, off: Off) -> None:
        self.upstream = upstream
        self.name = upstream.name
        self._entry = UpstreamEntry.parse(url)
        self.is_served = self._entry.is_served
        self._off = off

    @property
    def is_off(self) -> bool:
        """Return whether the upstream is disabled now."""
        return any(text in self._entry.url or text in self.name for text in self._off() if text)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[FetchedText]:
        """Fetch the symbol file of a module, as `SymbolSource.open` does. Raises SourceDisabled."""
        # An error and not an empty result: the file may exist, so its absence must not be cached for long.
        self._check_rules(module)
        with self.upstream.open(module) as chunks:
            yield FetchedText(self.name, chunks)

    def locate(self, file: ServedFile) -> str:
        """Return the path of a file, as `Upstream.locate` does. Raises SourceDisabled."""
        # A request by build id has no name, so the rules for names leave it out.
        self._check_rules(file.module, file.file_type)
        return self.upstream.locate(file)

    def _check_rules(self, module: ObjectId, file_type: FileType | None = None) -> None:
        if self.is_off:
            raise SourceDisabled(f"{self.name} is switched off")
        if not self._entry.has_name(module.debug_file):
            raise NotAsked(f"{self.name}: not asked, it is set up for other names")
        if not self._entry.has_platform(module, file_type):
            raise NotAsked(f"{self.name}: not asked, it is set up for other platforms")
