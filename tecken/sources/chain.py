"""Several sources, asked in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from tecken.errors import Absent, CouldNotAsk, SwitchedOff, TeckenError, Throttled
from tecken.sources.port import SymbolSource
from tecken.symbols.ids import ModuleKey


class Chain:
    """The first source that has the module wins. Absent only when every source said so.

    SwitchedOff when those that are not switched off said so.
    """

    def __init__(self, sources: Iterable[SymbolSource]) -> None:
        self.sources = tuple(sources)
        self.name = ", ".join(source.name for source in self.sources) or "no symbol source"

    @contextmanager
    def open(self, module: ModuleKey) -> Iterator[Iterator[bytes]]:
        unasked: list[CouldNotAsk] = []
        off: list[str] = []
        for source in self.sources:
            with ExitStack() as opened:
                try:
                    chunks = opened.enter_context(source.open(module))
                except SwitchedOff as error:
                    off.append(str(error))
                    continue
                except Absent:
                    continue
                except CouldNotAsk as error:
                    unasked.append(error)
                    continue
                yield chunks
                return
        raise self._verdict(module, unasked, off)

    def _verdict(self, module: ModuleKey, unasked: list[CouldNotAsk], off: list[str]) -> TeckenError:
        if not unasked:
            absent = f"{module} is not in {self.name}"
            return SwitchedOff("; ".join([absent, *off])) if off else Absent(absent)
        kind = Throttled if all(isinstance(error, Throttled) for error in unasked) else CouldNotAsk
        waits = [error.retry_after for error in unasked if error.retry_after is not None]
        return kind("; ".join(map(str, unasked)), retry_after=min(waits, default=None))
