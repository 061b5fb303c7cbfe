"""Interface of page stores, which move bytes and do not read them, and the names of all keys.

All spellings of a module's name share the keys. django-redis writes `:1:` before a key of version 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from tecken.symbols.ids import ObjectId

MissingKind = Literal["absent", "malformed", "unreachable"]


class Missing(NamedTuple):
    """Missing marker: the reason why a module has no pages."""

    kind: MissingKind
    reason: str

    def is_of_spelling(self, module: ObjectId) -> bool:
        """Return whether this holds for the spelling of `module` alone.

        Upstreams compare names exactly. If "foo.PDB is absent" answered for `Foo.pdb` too, any client could
        hide the symbols of a module from all others by requesting it in a wrong spelling.
        """
        return self.kind == "absent" and module.ignores_case


class PageKey(NamedTuple):
    """Key of a page. `generation` is that of the header, so that pages of another upload are never found."""

    module: ObjectId
    generation: str
    page: int


class PageStore(Protocol):
    """Store of headers and pages. Any of them may be evicted at any time.

    Every method raises StoreUnavailable after one short deadline when the server does not answer.
    """

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """Return headers or missing markers, in one round trip. Unknown modules are left out.

        A module with both has a header.
        """

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """Return pages, in one round trip. Evicted pages are left out."""

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Store a header, and delete the missing marker."""

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None:
        """Store pages."""

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Store a missing marker for `seconds`, at least 1, for the spellings that it holds for."""

    def missing_seconds(self, module: ObjectId) -> float | None:
        """Return the seconds until a missing marker expires; None without one."""

    def forget(self, module: ObjectId) -> None:
        """Delete header and missing marker. The pages are evicted in time."""


# Keys


def header_key(module: ObjectId) -> str:
    """Return the key of a header."""
    return f":1:symbol:{module.key}"


def page_key(key: PageKey) -> str:
    """Return the key of a page."""
    return f":1:symbol:{key.module.key}/{key.generation}/{key.page}"


def missing_key(module: ObjectId) -> str:
    """Return the key of a missing marker."""
    return f":1:missing:{module.key}"


def is_symbol_key(key: bytes) -> bool:
    """Return whether a key is that of a header or a page."""
    return key.startswith(b":1:symbol:")


def is_header_key(key: bytes) -> bool:
    """Return whether a key of a symbol is that of a header.

    The key of a page has a generation and a number besides. Neither a debug file nor an id has a slash. The
    key of a module of try builds begins with a scope.
    """
    return key.count(b"/") in (1, 2)
