"""A page store that writes down what it was asked for, so that one can tell how large it should be."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tecken.store import keys
from tecken.store.accesses import Accesses
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbols.ids import ModuleKey


class Watched:
    """`store`, as a process uses it that answers: whatever it looks for in vain it puts there."""

    def __init__(self, store: PageStore, accesses: Accesses) -> None:
        self._store = store
        self._accesses = accesses

    def headers(self, modules: Sequence[ModuleKey]) -> dict[ModuleKey, bytes | Missing]:
        found = self._store.headers(modules)
        self._accesses.note(
            (keys.header(module), len(raw)) for module, raw in found.items() if isinstance(raw, bytes)
        )
        return found

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        found = self._store.pages(wanted)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in found.items())
        return found

    def put_header(self, module: ModuleKey, raw: bytes) -> None:
        self._store.put_header(module, raw)
        self._accesses.note([(keys.header(module), len(raw))])

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        self._store.put_pages(pages)
        self._accesses.note((keys.page(key), len(raw)) for key, raw in pages.items())

    def put_missing(self, module: ModuleKey, missing: Missing, seconds: int) -> None:
        self._store.put_missing(module, missing, seconds)

    def missing_seconds(self, module: ModuleKey) -> float | None:
        return self._store.missing_seconds(module)

    def forget(self, module: ModuleKey) -> None:
        self._store.forget(module)
