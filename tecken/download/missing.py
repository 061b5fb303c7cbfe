"""What nobody had, newest first."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from django.db.models import Q, QuerySet

from tecken.download.models import MissingSymbol
from tecken.errors import BadInput

PAGE_ROWS = 100
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets read these too
"""How a cell begins that a spreadsheet takes for a formula. Source: OWASP, CSV Injection."""
CURSOR = re.compile(r"(\d{1,17})-(\d{1,18})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def harmless_cell(text: str) -> str:
    """Return a cell of CSV that a spreadsheet shows and does not run; other text stays as it is."""
    return f"'{text}" if text.startswith(FORMULA) else text


class Cursor(NamedTuple):
    """The last row of a page."""

    last_seen: datetime
    id: int

    def __str__(self) -> str:
        return f"{(self.last_seen - EPOCH) // timedelta(microseconds=1)}-{self.id}"

    @classmethod
    def parse(cls, text: str) -> Cursor:
        """Raises BadInput."""
        found = CURSOR.fullmatch(text)
        if not found:
            raise BadInput("after must be what next says on the page before")
        return cls(EPOCH + timedelta(microseconds=int(found[1])), int(found[2]))


class Page(NamedTuple):
    rows: list[MissingSymbol]
    next: Cursor | None


def page(after: Cursor | None) -> Page:
    """However many rows there are, an index leads to the first of the page."""
    rows = list(_newest(after)[: PAGE_ROWS + 1])
    if len(rows) <= PAGE_ROWS:
        return Page(rows, None)
    last = rows[PAGE_ROWS - 1]
    return Page(rows[:PAGE_ROWS], Cursor(last.last_seen, last.pk))


def since(moment: datetime) -> QuerySet[MissingSymbol]:
    return MissingSymbol.objects.filter(last_seen__gte=moment).order_by("-last_seen", "-id")


def _newest(after: Cursor | None) -> QuerySet[MissingSymbol]:
    rows = MissingSymbol.objects.order_by("-last_seen", "-id")
    if after is None:
        return rows
    earlier = Q(last_seen__lt=after.last_seen) | Q(last_seen=after.last_seen, id__lt=after.id)
    return rows.filter(
        earlier, last_seen__lte=after.last_seen
    )  # the second one is what an index can begin at
