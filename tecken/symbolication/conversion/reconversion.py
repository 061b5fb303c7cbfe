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
    """Module without a name (`ObjectId.without_name`), and the engine that made its page file."""

    module: ObjectId
    made_by: str


def is_without_name(module: ObjectId) -> bool:
    """Return whether a page file stands for all names of native files."""
    return module == ObjectId.without_name(module.debug_id, is_try=module.is_try)


class OutdatedModules:
    """Modules that another engine would convert better.

    `find_native` returns the module without a name whose native files in our own storage have a module's
    symbols, or None: the text of an upstream or of an upload may have been written by an engine, too, and
    would be converted to the same.
    """

    def __init__(
        self, page_files: PageFiles, engine_version: str, find_native: Callable[[ObjectId], ObjectId | None]
    ) -> None:
        self._page_files = page_files
        self._engine_version = engine_version
        self._find_native = find_native

    def all(self) -> list[ObjectId]:
        """Return all modules without a name that have a page file. Raises Unavailable."""
        modules = sorted(module for module, _ in self._page_files.entries())
        return [module for module in modules if is_without_name(module)]

    def among(self, modules: Iterable[ObjectId]) -> Iterator[OutdatedModule | None]:
        """Yield each module that is outdated, and None for each other one. Raises Unavailable."""
        for module in modules:
            made_by = self._made_by(module)
            native = self._find_native(module) if is_outdated(made_by, self._engine_version) else None
            yield OutdatedModule(native, made_by) if native else None

    def _made_by(self, module: ObjectId) -> str:
        """Return the generator of a module's page file; empty without a page file."""
        with suppress(NotFound, MalformedPageFile):
            return Header.parse(read_header(self._page_files, module)).metadata.generator
        return ""
