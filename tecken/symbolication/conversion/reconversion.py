"""Search for modules that were converted from a native file by an older engine than the one in use."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from typing import NamedTuple

from tecken.errors import MalformedPageFile, NotFound
from tecken.storage.dump import is_outdated
from tecken.storage.port import PageFiles
from tecken.symbolication.page_reader import read_header
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header


class OutdatedModule(NamedTuple):
    """Module, and the engine that made its page file, with its version."""

    module: ObjectId
    made_by: str


class OutdatedModules:
    """Modules that another engine would convert better.

    `is_native` returns whether a module's symbols come from a native file in our own storage: the text of an
    upstream or of an upload may have been written by an engine, too, and would be converted to the same.
    """

    def __init__(
        self, page_files: PageFiles, engine_version: str, is_native: Callable[[ObjectId], bool]
    ) -> None:
        self._page_files = page_files
        self._engine_version = engine_version
        self._is_native = is_native

    def all(self) -> list[ObjectId]:
        """Return all modules that have a page file. Raises Unavailable."""
        return sorted(module for module, _ in self._page_files.entries())

    def among(self, modules: Iterable[ObjectId]) -> Iterator[OutdatedModule | None]:
        """Yield each module that is outdated, and None for each other one. Raises Unavailable."""
        for module in modules:
            made_by = self._made_by(module)
            is_one = is_outdated(made_by, self._engine_version) and self._is_native(module)
            yield OutdatedModule(module, made_by) if is_one else None

    def _made_by(self, module: ObjectId) -> str:
        """Return the generator of a module's page file; empty without a page file."""
        with suppress(NotFound, MalformedPageFile):
            return Header.parse(read_header(self._page_files, module)).metadata.generator
        return ""
