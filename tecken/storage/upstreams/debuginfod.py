"""debuginfod servers: ELF files by build id.

A debug id has 16 bytes of the build id, which mostly has 20. The others come from requests that carried the
whole build id (`tecken.storage.build_ids`).

Source: elfutils, debuginfod(8).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import BinaryIO, Final

from tecken.errors import IncompleteId, InvalidInput, Malformed, NotAsked, NotFound
from tecken.storage.port import GUID_AND_AGE, ElfPart, NativeText
from tecken.storage.upstreams.native import FetchedFile, NativeReader
from tecken.symbols.formats.elf import Elf
from tecken.symbols.ids import WHOLE_BUILD_ID, ObjectId, short_build_id_of
from tecken.symbols.layouts import debuginfod_path

logger = logging.getLogger(__name__)
ELF: Final = Elf.name
# Suffixes of names that no ELF file has.
OTHER_SYSTEMS: Final = (".dylib", ".wasm")
UNKNOWN: Final = "not asked, the whole build id is not known: send it as code_id, or paste a report with it"


class DebuginfodUpstream:
    """A debuginfod server, such as those of Linux distributions.

    `find_build_ids` returns the whole build ids that are known for a debug id, the last one first.
    """

    def __init__(self, reader: NativeReader, find_build_ids: Callable[[str], Sequence[str]]) -> None:
        self.name = f"debuginfod+{reader.name}"
        self._reader = reader
        self._find_build_ids = find_build_ids

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[NativeText]:
        """Fetch the ELF file of a module and write its symbols, as `SymbolSource.open` does.

        Raises Malformed.
        """
        build_ids = self._build_ids(module)
        self._reader.check_engine()
        with ExitStack() as opened:
            file = self._fetch_first(build_ids, opened)
            common = self._fetch_common(file, opened)
            yield opened.enter_context(self._reader.open_text(file, module.debug_file, common))

    def public_url(self, module: ObjectId) -> str | None:  # noqa: ARG002
        """Return None: the server has no symbol files."""
        return None

    def close(self) -> None:
        """Close idle connections."""
        self._reader.close()

    def _build_ids(self, module: ObjectId) -> Sequence[str]:
        """Return the build ids that the module may have. Raises NotAsked."""
        some_id = module.debug_id
        is_whole = len(some_id) == WHOLE_BUILD_ID
        # The age of every ELF file is 0.
        may_be_elf = is_whole or (len(some_id) == GUID_AND_AGE and some_id.endswith("0"))
        if module.ignores_case or module.name.endswith(OTHER_SYSTEMS) or not may_be_elf:
            raise NotAsked(f"{self._reader.name}: not asked, it has ELF files")
        if is_whole:
            return [some_id.lower()]
        if short := short_build_id_of(some_id):
            return [short]
        if found := self._find_build_ids(some_id):
            return found
        raise IncompleteId(f"{self._reader.name}: {UNKNOWN}")

    def _fetch_first(self, build_ids: Sequence[str], opened: ExitStack) -> FetchedFile:
        """Return the first file that the server has, preferably one with debug information."""
        missing = NotFound(f"{self._reader.name}: no build id is known")
        for build_id in build_ids:
            for part in ElfPart:
                try:
                    return self._fetch(build_id, part, opened)
                except NotFound as error:
                    missing = error
        raise missing

    def _fetch(self, build_id: str, part: ElfPart, opened: ExitStack) -> FetchedFile:
        fetching = self._reader.fetch(debuginfod_path(build_id, part.value), ELF)
        file = opened.enter_context(fetching)
        if file.info.build_id != build_id:
            found = file.info.build_id or "none"
            raise Malformed(
                f"{self._reader.name}: the file that it has sent has the build id {found}, not {build_id}"
            )
        return file

    def _fetch_common(self, file: FetchedFile, opened: ExitStack) -> dict[str, BinaryIO]:
        """Return the common file of dwz by the engine's option; without it, functions lack names."""
        if not file.info.common_id:
            return {}
        try:
            return {"supplementary": self._fetch(file.info.common_id, ElfPart.DEBUG_INFO, opened).content}
        except (NotFound, InvalidInput) as error:
            logger.info("%s; converting %s without its common file", error, file.info.build_id)
            return {}
