"""Upstreams of native files in any layout, over HTTP, in a bucket or directory."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from typing import BinaryIO, NamedTuple

from tecken.errors import AccessDenied, BadModule, IncompleteId, InvalidInput, Malformed, NotAsked, NotFound
from tecken.storage.port import ServedFile
from tecken.storage.upstreams.layouts import (
    PLATFORM_OF,
    FindBuildIds,
    Identity,
    Layout,
    LayoutFile,
    find_identities,
)
from tecken.storage.upstreams.native import FetchedFile, NativeReader
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id, normal_debug_id
from tecken.symbols.layouts import FileType
from tecken.symbols.platforms import Platform

logger = logging.getLogger(__name__)
# A store of symstore may have these types in CAB files.
PACKED_TYPES = (FileType.PDB, FileType.PE)


class Request(NamedTuple):
    """Files that are fetched for one module, all before the same deadline."""

    module: ObjectId
    ends: float
    opened: ExitStack


class NativeUpstream:
    """A server, bucket or directory with native files in a layout.

    `find_build_ids` returns the whole build ids that are known for a debug id: it has 16 bytes of the build
    id, which mostly has 20. The others come from requests that carried it (`tecken.storage.build_ids`).
    """

    def __init__(self, layout: Layout, reader: NativeReader, find_build_ids: FindBuildIds) -> None:
        self.name = f"{layout.scheme}+{reader.name}"
        self.served_types = layout.types
        self._layout = layout
        self._reader = reader
        self._find_build_ids = find_build_ids

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Fetch the files of a module and write its symbols, as `SymbolSource.open` does.

        Raises Malformed.
        """
        files = self._files(module)
        self._reader.check_engine()
        with ExitStack() as opened:
            yield self._open_first(files, Request(module, self._reader.transport.new_deadline(), opened))

    def locate(self, file: ServedFile) -> str:
        """Return the path of a file, as `Upstream.locate` does."""
        missing: NotFound = NotAsked(f"{self._reader.name}: not asked, it has {self._layout.content}")
        ends = self._reader.transport.new_deadline()
        for path in self._served_paths(file):
            try:
                self._reader.transport.check(path, file.hops, ends)
            except NotFound as error:
                missing = error
            else:
                return path
        raise missing

    def read(self, path: str) -> AbstractContextManager[Iterator[bytes]]:
        """Read a file, as `Upstream.read` does."""
        return self._reader.transport.get(path)

    def public_url(self, path: str) -> str | None:
        """Return the URL of a file, as `Upstream.public_url` does."""
        return self._reader.transport.public_url(path)

    def close(self) -> None:
        """Close idle connections."""
        self._reader.close()

    def _files(self, module: ObjectId) -> list[tuple[Identity, LayoutFile]]:
        """Return the files that the module may have. Raises NotAsked."""
        files: list[tuple[Identity, LayoutFile]] = []
        reason: NotAsked = NotAsked(f"{self._reader.name}: not asked, it has {self._layout.content}")
        try:
            for identity in find_identities(module, self._find_build_ids):
                files += [(identity, file) for file in self._layout.files(identity)]
        except IncompleteId as error:
            reason = IncompleteId(f"{self._reader.name}: {error}")
        if not files:
            raise reason
        return files

    def _open_first(self, files: Sequence[tuple[Identity, LayoutFile]], request: Request) -> Iterator[bytes]:
        """Return the symbols of the first file that is there, preferably one with debug information."""
        missing: NotFound | None = None
        for identity, file in files:
            try:
                return self._open(identity, file, request)
            except NotFound as error:
                missing = missing if isinstance(missing, AccessDenied) else error
        assert missing
        raise missing

    def _open(self, identity: Identity, file: LayoutFile, request: Request) -> Iterator[bytes]:
        if file.file_type is FileType.SYMBOL_FILE:
            symbols = self._reader.open_symbols(file.path, debug_id_of(identity), request.ends)
            return request.opened.enter_context(symbols)
        fetched = self._fetch(file, identity.some_id, request)
        name, code_file, others = request.module.debug_file, "", self._fetch_common(fetched, request)
        if file.file_type is FileType.PE:
            pdb = self._fetch_pdb(fetched, request)
            name, code_file, others = fetched.info.debug_file, name, {"cfi": fetched.content}
            fetched = pdb
        return request.opened.enter_context(self._reader.open_text(fetched, name, others, code_file))

    def _fetch(self, file: LayoutFile, some_id: str, request: Request) -> FetchedFile:
        missing: NotFound | None = None
        for path in self._paths(file):
            fetching = self._reader.fetch(path, file.file_type, some_id, request.ends)
            try:
                return request.opened.enter_context(fetching)
            except NotFound as error:
                # The path of the plain file says more than that of the packed one.
                missing = missing or error
        assert missing
        raise missing

    def _paths(self, file: LayoutFile) -> Iterator[str]:
        if not self._layout.is_symstore:
            yield file.path
            return
        yield from self._reader.transport.spellings(file.path)
        if file.file_type in PACKED_TYPES:
            yield from self._reader.transport.spellings(pack_name(file.path))

    def _served_paths(self, file: ServedFile) -> Iterator[str]:
        """Yield the paths of exactly the file that a client has requested."""
        if file.is_packed and not self._layout.is_symstore:
            return
        for identity in self._served_identities(file):
            for stored in self._layout.files(identity):
                if stored.file_type is file.file_type:
                    path = pack_name(stored.path) if file.is_packed else stored.path
                    is_symstore = self._layout.is_symstore
                    yield from self._reader.transport.spellings(path) if is_symstore else (path,)

    def _served_identities(self, file: ServedFile) -> Iterator[Identity]:
        platform, name, some_id = PLATFORM_OF.get(file.file_type), *file.module
        if platform is None:
            with suppress(IncompleteId):
                yield from find_identities(file.module, self._find_build_ids)
        else:
            yield Identity(platform, name, some_id if platform is Platform.WINDOWS else some_id.lower())

    def _fetch_pdb(self, code: FetchedFile, request: Request) -> FetchedFile:
        """Fetch the PDB that a PE file names. Raises Malformed."""
        try:
            module = ObjectId.parse(code.info.debug_file, normal_debug_id(code.info.debug_id))
        except BadModule as error:
            text = f"the PE file that it has sent names no PDB: {error}"
            raise Malformed(f"{self._reader.name}: {text}") from None
        identity = Identity(Platform.WINDOWS, module.debug_file, module.debug_id)
        for file in self._layout.files(identity):
            if file.file_type is FileType.PDB:
                return self._fetch(file, identity.some_id, request)
        raise NotFound(f"{self._reader.name}: the PE file that it has sent names no PDB file")

    def _fetch_common(self, fetched: FetchedFile, request: Request) -> dict[str, BinaryIO]:
        """Return the common file of dwz by the engine's option; without it, functions lack names."""
        some_id = fetched.info.common_id
        if not some_id:
            return {}
        (file, *_) = (
            file
            for file in self._layout.files(Identity(Platform.LINUX, "", some_id))
            if file.file_type is FileType.DEBUG_ONLY
        )
        try:
            return {"supplementary": self._fetch(file, some_id, request).content}
        except (NotFound, InvalidInput) as error:
            logger.info("%s; converting %s without its common file", error, fetched.info.build_id)
            return {}


def debug_id_of(identity: Identity) -> str:
    """Return the debug id in symbol files of an identity."""
    if identity.platform is Platform.LINUX:
        return debug_ids_of_code_id(identity.some_id)[0]
    return normal_debug_id(identity.some_id)


def pack_name(path: str) -> str:
    """Return the path of the CAB file with the file at a path, whose last letter is `_`."""
    return f"{path[:-1]}_"
