"""Several sources, asked in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tecken.errors import Absent, CouldNotAsk, TeckenError, Throttled
from tecken.sources.port import SymbolSource
from tecken.symbols.ids import ModuleKey


class Chain:
    """The first source that has the module wins. Absent only when every source said so."""

    def __init__(self, sources: Iterable[SymbolSource]) -> None:
        self._sources = tuple(sources)
        self.name = ", ".join(source.name for source in self._sources) or "no symbol source"

    @contextmanager
    def open(self, module: ModuleKey) -> Iterator[Iterator[bytes]]:
        unasked: list[CouldNotAsk] = []
        for source in self._sources:
            with ExitStack() as opened:
                try:
                    chunks = opened.enter_context(source.open(module))
                except Absent:
                    continue
                except CouldNotAsk as error:
                    unasked.append(error)
                    continue
                yield chunks
                return
        raise self._verdict(module, unasked)

    def _verdict(self, module: ModuleKey, unasked: list[CouldNotAsk]) -> TeckenError:
        if not unasked:
            return Absent(f"{module} is not in {self.name}")
        kind = Throttled if all(isinstance(error, Throttled) for error in unasked) else CouldNotAsk
        waits = [error.retry_after for error in unasked if error.retry_after is not None]
        return kind("; ".join(map(str, unasked)), retry_after=min(waits, default=None))
