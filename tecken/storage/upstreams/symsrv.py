"""SymSrv servers: PDB files by name and debug id, PE files by name and code id, plain or in CAB files.

Source: Microsoft, "SymStore" and "SymSrv" in "Debugging Tools for Windows".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Final

from tecken.errors import AccessDenied, BadModule, Malformed, NotAsked, NotFound
from tecken.storage.port import GUID_AND_AGE, NativeText
from tecken.storage.upstreams.native import FetchedFile, NativeReader
from tecken.symbols.formats.pdb import Pdb
from tecken.symbols.formats.pe import Pe
from tecken.symbols.ids import LONGEST_PE_CODE_ID, ObjectId, normal_debug_id
from tecken.symbols.layouts import FileType, symstore_code_path, symstore_paths

PDB: Final = Pdb.name
PE: Final = Pe.name


class SymSrvUpstream:
    """A symbol server for debuggers of Windows, such as Microsoft's public one."""

    def __init__(self, reader: NativeReader) -> None:
        self.name = f"symsrv+{reader.name}"
        self._reader = reader

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[NativeText]:
        """Fetch the PDB of a module and write its symbols, as `SymbolSource.open` does. Raises Malformed.

        A module may have the name and the code id of a PE file, which names its PDB.
        """
        is_pdb = FileType.of_name(module.debug_file) is FileType.PDB
        has_debug_id = len(module.debug_id) >= GUID_AND_AGE
        has_code_id = len(module.debug_id) <= LONGEST_PE_CODE_ID
        if not (is_pdb and has_debug_id) and not (module.ignores_case and not is_pdb and has_code_id):
            raise NotAsked(f"{self._reader.name}: not asked, it has PDB files, and PE files by code id")
        self._reader.check_engine()
        with ExitStack() as opened:
            if is_pdb:
                file = self._fetch_pdb(module, opened)
                yield opened.enter_context(self._reader.open_text(file, module.debug_file))
                return
            code = self._fetch_code(module, opened)
            pdb = self._fetch_pdb(_pdb_of(code), opened)
            text = self._reader.open_text(pdb, code.info.debug_file, {"cfi": code.content}, module.debug_file)
            yield opened.enter_context(text)

    def public_url(self, module: ObjectId) -> str | None:  # noqa: ARG002
        """Return None: the server has no symbol files."""
        return None

    def close(self) -> None:
        """Close idle connections."""
        self._reader.close()

    def _fetch_pdb(self, module: ObjectId, opened: ExitStack) -> FetchedFile:
        file = self._fetch_packed_or_plain(*symstore_paths(module), opened)
        if normal_debug_id(file.info.debug_id) != module.debug_id:
            raise Malformed(
                f"the PDB that it has sent has the debug id {file.info.debug_id}, not {module.debug_id}"
            )
        return file

    def _fetch_packed_or_plain(self, plain: str, packed: str, opened: ExitStack) -> FetchedFile:
        try:
            return opened.enter_context(self._reader.fetch(plain, PDB))
        except AccessDenied:
            raise
        except NotFound:
            with suppress(NotFound):
                return opened.enter_context(self._reader.fetch(packed, PDB))
            raise

    def _fetch_code(self, module: ObjectId, opened: ExitStack) -> FetchedFile:
        file = opened.enter_context(self._reader.fetch(symstore_code_path(module), PE))
        if file.info.code_id.upper() != module.debug_id:
            raise Malformed(
                f"the PE file that it has sent has the code id {file.info.code_id}, not {module.debug_id}"
            )
        return file


def _pdb_of(code: FetchedFile) -> ObjectId:
    """Return the module of the PDB that a PE file names. Raises Malformed."""
    try:
        module = ObjectId.parse(code.info.debug_file, code.info.debug_id)
    except BadModule as error:
        raise Malformed(f"the PE file that it has sent names no PDB: {error}") from None
    return module
