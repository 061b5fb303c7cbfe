"""What the rest of the house asks of a page store; it moves bytes and knows nothing of what is in them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from tecken.symbols.ids import ObjectId

MissingKind = Literal["absent", "malformed", "unreachable"]


class Missing(NamedTuple):
    """Why a module has no pages: nobody has it, nobody can read it, or nobody could be asked."""

    kind: MissingKind
    reason: str

    def is_of_spelling(self, module: ObjectId) -> bool:
        """Return whether this holds for the spelling of `module` alone.

        Upstreams compare names exactly. If "foo.PDB is absent" answered for `Foo.pdb` too, any client could
        hide the symbols of a module from all others by asking for it in a wrong spelling.
        """
        return self.kind == "absent" and module.ignores_case


class PageKey(NamedTuple):
    """`generation` is the header's, so that pages of another upload are never found."""

    module: ObjectId
    generation: str
    page: int


class PageStore(Protocol):
    """May forget anything at any time, one page apart from the next.

    Every method raises StoreAway after one short deadline when the server does not answer.
    """

    def headers(self, modules: Sequence[ObjectId]) -> dict[ObjectId, bytes | Missing]:
        """One round trip. Unknown modules are left out; a header wins over a missing marker."""

    def pages(self, wanted: Sequence[PageKey]) -> dict[PageKey, bytes]:
        """One round trip. Pages that are not there are left out."""

    def put_header(self, module: ObjectId, raw: bytes) -> None:
        """Also removes a missing marker."""

    def put_pages(self, pages: Mapping[PageKey, bytes]) -> None: ...

    def put_missing(self, module: ObjectId, missing: Missing, seconds: int) -> None:
        """Remember it for `seconds`, at least 1; see Missing.is_of_spelling for whom it answers."""

    def missing_seconds(self, module: ObjectId) -> float | None:
        """How much longer a missing marker is remembered; None without one."""

    def forget(self, module: ObjectId) -> None:
        """Removes header and missing marker; the pages age out."""
