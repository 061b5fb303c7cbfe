"""SymSrv servers: PDB files by name and debug id, plain or in CAB files.

Source: Microsoft, "SymStore" and "SymSrv" in "Debugging Tools for Windows".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from tecken.errors import AccessDenied, Malformed, NotAsked, NotFound
from tecken.storage.port import GUID_AND_AGE, NativeText
from tecken.storage.upstreams.native import FetchedFile, NativeReader
from tecken.symbols.ids import ObjectId, normal_debug_id
from tecken.symbols.layouts import FileType, symstore_paths

PDB = "pdb"


class SymSrvUpstream:
    """A symbol server for debuggers of Windows, such as Microsoft's public one."""

    def __init__(self, reader: NativeReader) -> None:
        self.name = f"symsrv+{reader.name}"
        self._reader = reader

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[NativeText]:
        """Fetch the PDB of a module and write its symbols, as `SymbolSource.open` does. Raises Malformed."""
        is_pdb = FileType.of_name(module.debug_file) is FileType.PDB
        if not is_pdb or len(module.debug_id) < GUID_AND_AGE:
            raise NotAsked(f"{self._reader.name}: not asked, it has files whose names end in .pdb")
        self._reader.check_engine()
        with ExitStack() as opened:
            file = self._fetch(module, opened)
            if normal_debug_id(file.info.debug_id) != module.debug_id:
                raise Malformed(
                    f"the PDB that it has sent has the debug id {file.info.debug_id}, not {module.debug_id}"
                )
            yield opened.enter_context(self._reader.open_text(file, module.debug_file))

    def public_url(self, module: ObjectId) -> str | None:  # noqa: ARG002
        """Return None: the server has no symbol files."""
        return None

    def close(self) -> None:
        """Close idle connections."""
        self._reader.close()

    def _fetch(self, module: ObjectId, opened: ExitStack) -> FetchedFile:
        plain, packed = symstore_paths(module)
        try:
            return opened.enter_context(self._reader.fetch(plain, PDB))
        except AccessDenied:
            raise
        except NotFound:
            with suppress(NotFound):
                return opened.enter_context(self._reader.fetch(packed, PDB))
            raise
