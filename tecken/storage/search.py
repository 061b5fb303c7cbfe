"""The one order in which places are searched for a file.

    1. regular files of our own storage: under the requested names, then by code id or build id and in
       another case, then native files by the ids in them, whatever their name
    2. upstreams, in the order of SYMBOL_SOURCES; downloads leave out those for symbolication only
    3. try files, in the same ways as regular ones, only when the request includes them

`Search` has the places of one process. Conversion reads the symbol file of a module from `Search.symbols`,
the chain of places 1 and 2. Downloads call `Search.find`, which consults the presence cache first, or
`Search.find_by_build_id`, which needs no names.

A file is absent only when every place has confirmed it, as in `tecken.storage.source_chain`. A search ends
with ConversionPending while the native files that have the symbols are not converted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol, TypeGuard

from tecken.errors import (
    AccessDenied,
    NotFound,
    SourceDisabled,
    Unavailable,
)
from tecken.storage.backends.files import OwnSymbols
from tecken.storage.port import (
    MAX_HOPS,
    BuildIdRequest,
    ElfPart,
    FileRequest,
    NativeSource,
    OwnFiles,
    PageFiles,
    ServedFile,
)
from tecken.storage.presence_cache import (
    Fact,
    PresenceCache,
    Unknown,
    build_id_key,
    code_file_key,
    regular_file_key,
    try_file_key,
    upstream_build_id_key,
    upstream_file_key,
)
from tecken.storage.search_places import (
    ConversionPending,
    Found,
    OtherName,
    OwnFile,
    Place,
    Result,
    SearchPlace,
    UpstreamFile,
    elf_place,
    named_places,
    native_place,
    renamed_places,
    section_place,
)
from tecken.storage.source_chain import Record, SourceChain, SwitchableSource, call_first, combined, discard
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, FileType, symbol_file

ABSENT = "Symbol Not Found"


def absence_text(request: FileRequest | BuildIdRequest) -> str:
    """Return the text of the NotFound for a file that no place has."""
    if isinstance(request, BuildIdRequest) and request.section:
        return f"no file of build id {request.build_id} has a section {request.section}"
    return ABSENT


class FindByCodeId(Protocol):
    """Search for a module by its code file and code id; see `tecken.storage.models.module_of`."""

    def __call__(self, code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
        """Return the module. Raises NotFound or Unavailable."""
        ...


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
        record: Record = discard,
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
                return self._find_first([section_place(file, request.section)], fresh=fresh)
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
        return elf_place(files, find, build_id_key(request.build_id, request.part, is_try=is_try))

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
        yield from named_places(request, self.regular, regular_file_key)
        if request.may_be_code_id:
            yield self._by_code_id(request)
        yield from renamed_places(request, self.regular, regular_file_key)
        # A client that asks for a cabinet would unpack the file itself and fail.
        if self.native and self._page_files and not request.is_cabinet:
            yield native_place(request, self.native, self._page_files)
        if self._is_served(file := request.served_file):
            yield self._upstream_place(upstream_file_key(request.key), file)
        if request.with_try:
            yield from named_places(request, self.try_files, try_file_key)
            yield from renamed_places(request, self.try_files, try_file_key)
            if self._try_native and self._page_files and not request.is_cabinet:
                yield native_place(request, self._try_native, self._page_files, is_try=True)

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
