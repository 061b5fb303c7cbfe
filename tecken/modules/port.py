"""What a feature needs from this package, for type checking and for memory implementations in tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from tecken.errors import CouldNotAsk
from tecken.modules.trace import Trace
from tecken.store.port import Missing
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile.file import Header
from tecken.symbols.pagefile.page import Page


class Pages(NamedTuple):
    """`found` is keyed by (generation, page number); a page left out is of a module in one of the others."""

    found: dict[tuple[str, int], Page]
    replaced: set[ModuleKey]
    """Another page file took this one's place: ask `headers` again and start over, once."""
    unreachable: dict[ModuleKey, Missing]
    """Neither the store nor the page file could be read; kind is "unreachable"."""


class Modules(Protocol):
    """Headers and pages, from wherever they are. Never raises for one module's trouble."""

    def headers(
        self, modules: Iterable[ModuleKey], trace: Trace, most: int | None = None
    ) -> dict[ModuleKey, Header | Missing]:
        """Left out: cold, there is no page file yet.

        Of modules that neither process nor store has, `most` are looked for; further ones are "unreachable".
        """
        ...

    def pages(self, wanted: Iterable[tuple[ModuleKey, Header, int]], trace: Trace) -> Pages: ...


class Cold(Protocol):
    def bring(
        self, modules: Sequence[ModuleKey], deadline: float, client: str = ""
    ) -> dict[ModuleKey, Missing | CouldNotAsk]:
        """Have page files made, and wait until `deadline`, a moment of `time.monotonic()`.

        `client` names who is served in turn with others; modules of one client wait for each other.

        A module left out of the answer is ready: ask `headers` again. Pending: not in time, the work goes on.
        """
        ...
