"""Upstreams that an operator switches off and on while we run."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import NamedTuple

from tecken.errors import Absent, CouldNotAsk, Refused, SwitchedOff, TeckenError, Throttled
from tecken.storage.port import SymbolSource
from tecken.symbols.ids import ObjectId

Off = Callable[[], Iterable[str]]
"""URLs of those that are not asked now, or parts of them."""


class Switched:
    """A source that raises SwitchedOff instead of being asked, while one of `off()` is in its URL or name."""

    def __init__(self, source: SymbolSource, url: str, off: Off) -> None:
        self.source = source
        self.name = source.name
        self._url = url
        self._off = off

    @property
    def is_off(self) -> bool:
        return any(text in self._url or text in self.name for text in self._off() if text)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        if self.is_off:
            raise SwitchedOff(f"{self.name} is switched off")
        with self.source.open(module) as chunks:
            yield chunks


class Said(NamedTuple):
    """What a source answered within some seconds: `no` is None where it has the file."""

    source: str
    no: TeckenError | None
    seconds: float


def _unheard(_module: ObjectId, _said: Sequence[Said]) -> None:
    pass


class Chain:
    """The first source that has the module wins. Absent only when every source said so.

    SwitchedOff when those that are not switched off said so. `told` hears what each of them said, and must
    raise nothing.
    """

    def __init__(
        self,
        sources: Iterable[SymbolSource],
        told: Callable[[ObjectId, Sequence[Said]], None] = _unheard,
    ) -> None:
        self.sources = tuple(sources)
        self.name = ", ".join(source.name for source in self.sources) or "no symbol source"
        self._told = told

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        said: list[Said] = []
        with ExitStack() as opened:
            try:
                chunks = self._first(module, opened, said)
            finally:
                self._told(module, said)
            yield chunks

    def _first(self, module: ObjectId, opened: ExitStack, said: list[Said]) -> Iterator[bytes]:
        for source in self.sources:
            no: TeckenError | None = None
            began = time.monotonic()
            try:
                return opened.enter_context(source.open(module))
            except (Absent, CouldNotAsk) as error:
                no = error
            except TeckenError as error:
                no = error
                raise
            finally:
                said.append(Said(source.name, no, time.monotonic() - began))
        raise self._verdict(module, [one.no for one in said])

    def _verdict(self, module: ObjectId, answers: Sequence[TeckenError | None]) -> TeckenError:
        unasked = [error for error in answers if isinstance(error, CouldNotAsk)]
        if not unasked:
            is_off = any(isinstance(error, SwitchedOff) for error in answers)
            reasons = [str(error) for error in answers if isinstance(error, SwitchedOff | Refused)]
            text = "; ".join([f"{module} is not in {self.name}", *reasons])
            return SwitchedOff(text) if is_off else Absent(text)
        kind = Throttled if all(isinstance(error, Throttled) for error in unasked) else CouldNotAsk
        waits = [error.retry_after for error in unasked if error.retry_after is not None]
        return kind("; ".join(map(str, unasked)), retry_after=min(waits, default=None))
