"""The symbol file of a module from the first source that has it, and upstreams that can be switched off.

A module is absent only when every source has confirmed it. When one was disabled, the result is
SourceDisabled; when one did not respond, it is Unavailable, since the file may be there. Refused is about one
file: it counts as absent, because the same request to the same host has the same result.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TypeVar

from tecken.errors import (
    AccessDenied,
    IncompleteId,
    Malformed,
    NotAsked,
    NotFound,
    SourceDisabled,
    TeckenError,
    Throttled,
    TooLarge,
    Unavailable,
)
from tecken.metrics import SOURCE_LOOKUPS, labelled
from tecken.storage.lookup_log import SourceResult, result_kind
from tecken.storage.port import (
    FetchedText,
    ServedFile,
    SymbolSource,
    Upstream,
)
from tecken.storage.upstreams.entry import UpstreamEntry
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType

# Errors whose text is part of the reason why a module is missing.
REASONS = (SourceDisabled, AccessDenied, IncompleteId, Malformed, TooLarge)

Record = Callable[[ObjectId, Sequence[SourceResult]], None]
"""Receives the results of one search; raises nothing."""


def discard(_module: ObjectId, _results: Sequence[SourceResult]) -> None:
    """Do nothing with the results of a search."""


Source = TypeVar("Source", bound=SymbolSource)
Content = TypeVar("Content")


class SourceChain:
    """Sources of symbol files, searched in order: the first that has the module is used.

    Raises NotFound only when every source has confirmed it, and SourceDisabled when every enabled one has.
    Malformed and TooLarge are about a file that cannot be used, where no other source has the module.
    """

    def __init__(self, sources: Iterable[SymbolSource], record: Record = discard) -> None:
        self.sources = tuple(sources)
        self.name = chain_name(self.sources)
        self._record = record

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        """Read the symbol file from the first source that has it, as `SymbolSource.open` does."""
        results: list[SourceResult] = []
        with ExitStack() as opened:
            try:
                _, chunks = call_first(
                    self.sources, lambda source: opened.enter_context(source.open(module)), module, results
                )
            finally:
                self._record(module, results)
            yield chunks


def chain_name(sources: Sequence[SymbolSource]) -> str:
    """Return the names of all sources, for messages."""
    return ", ".join(source.name for source in sources) or "no symbol source"


def call_first(
    sources: Sequence[Source],
    call: Callable[[Source], Content],
    module: ObjectId,
    results: list[SourceResult],
) -> tuple[str, Content]:
    """Return the name of the first source for which `call` raises nothing, and what it returned.

    The result of each source is added to `results`. Raises what `SourceChain` raises.
    """
    for source in sources:
        error: TeckenError | None = None
        began = time.monotonic()
        try:
            return source.name, call(source)
        except (NotFound, Unavailable) as missing:
            error = missing
        except (Malformed, TooLarge) as unusable:
            # An upstream that sends another file, or too much, must not hide the file of the next.
            error = unusable
        except TeckenError as failed:
            error = failed
            raise
        finally:
            results.append(SourceResult(source.name, error, time.monotonic() - began))
            labelled(SOURCE_LOOKUPS, source.name, result_kind(error)).inc()
    raise _failure(f"{module} is not in {chain_name(sources)}", [result.error for result in results])


def _failure(text: str, errors: Sequence[TeckenError | None]) -> TeckenError:
    unavailable = [error for error in errors if isinstance(error, Unavailable)]
    if unavailable:
        return combined(unavailable)
    is_off = any(isinstance(error, SourceDisabled) for error in errors)
    unusable = [error for error in errors if isinstance(error, Malformed | TooLarge)]
    if unusable and not is_off:
        return unusable[0]
    reasons = [str(error) for error in errors if isinstance(error, REASONS)]
    text = "; ".join([text, *reasons])
    return SourceDisabled(text) if is_off else NotFound(text)


def combined(errors: Sequence[Unavailable]) -> Unavailable:
    """Return one error for places that did not respond: Throttled when all of them were."""
    kind = Throttled if all(isinstance(error, Throttled) for error in errors) else Unavailable
    waits = [error.retry_after for error in errors if error.retry_after is not None]
    return kind("; ".join(map(str, errors)), retry_after=min(waits, default=None))


Off = Callable[[], Iterable[str]]
"""Returns URLs of disabled upstreams, or parts of them."""


class SwitchableSource:
    """An upstream that raises SourceDisabled while one of the texts of `off()` is in its URL or name.

    It raises NotAsked for modules with names, or of platforms, that the rules after its URL leave out.
    `is_served` tells whether downloads find its files, too.
    """

    def __init__(self, upstream: Upstream, url: str, off: Off) -> None:
        self.upstream = upstream
        self.name = upstream.name
        self._entry = UpstreamEntry.parse(url)
        self.is_served = self._entry.is_served
        self._off = off

    @property
    def is_off(self) -> bool:
        """Return whether the upstream is disabled now."""
        return any(text in self._entry.url or text in self.name for text in self._off() if text)

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[FetchedText]:
        """Fetch the symbol file of a module, as `SymbolSource.open` does. Raises SourceDisabled."""
        # An error and not an empty result: the file may exist, so its absence must not be cached for long.
        self._check_rules(module)
        with self.upstream.open(module) as chunks:
            yield FetchedText(self.name, chunks)

    def locate(self, file: ServedFile) -> str:
        """Return the path of a file, as `Upstream.locate` does. Raises SourceDisabled."""
        # A request by build id has no name, so the rules for names leave it out.
        self._check_rules(file.module, file.file_type)
        return self.upstream.locate(file)

    def _check_rules(self, module: ObjectId, file_type: FileType | None = None) -> None:
        if self.is_off:
            raise SourceDisabled(f"{self.name} is switched off")
        if not self._entry.has_name(module.debug_file):
            raise NotAsked(f"{self.name}: not asked, it is set up for other names")
        if not self._entry.has_platform(module, file_type):
            raise NotAsked(f"{self.name}: not asked, it is set up for other platforms")
