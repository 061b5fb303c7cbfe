"""Symbol files that nobody had: the most wanted, or the latest."""

from __future__ import annotations

import csv
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tecken.download.missing import harmless_cell
from tecken.download.models import MissingSymbol
from tecken.http.keyset import Order
from tecken.web.api.filters import where
from tecken.web.api.missing import FILTERS, MissingFilters
from tecken.web.auth import open_page
from tecken.web.lists import ORDER, Listed, listed

SORTS = {"count": "Most wanted", "last_seen": "Latest"}
BASIC = ("debug_file", "debug_id", "count", "last_seen")
COLUMNS = ("debug_file", "debug_id", "code_file", "code_id", "count", "last_seen", "symbolications")
MOST = 10_000
"""Rows of a CSV: a megabyte or two."""
DOWNLOAD = {"Content-Disposition": 'attachment; filename="missing.csv"'}


class Tab(NamedTuple):
    title: str
    address: str
    now: bool


@open_page
@require_safe
def missing(request: HttpRequest) -> HttpResponse:
    rows = MissingSymbol.objects.all()
    found = listed(request, rows, MissingFilters, FILTERS, SORTS)
    if request.GET.get("format") == "csv" and not found.problem:
        return _csv(found)
    context = {
        "section": "missing",
        "list": found,
        "tabs": [_tab(found, column) for column in SORTS],
        "more": any(name in found.asked for name in FILTERS if name not in BASIC),
        "csv": f"?{urlencode({**found.asked, 'format': 'csv'})}",
        "most": MOST,
    }
    status = HTTPStatus.BAD_REQUEST if found.problem else HTTPStatus.OK
    return render(request, "missing/list.html", context, status=status)


def _tab(found: Listed[MissingSymbol], column: str) -> Tab:
    """The same filters in another order."""
    filters = {name: text for name, text in found.asked.items() if name not in ORDER}
    address = urlencode({**filters, "sort": column, "reverse": "true"})
    return Tab(SORTS[column], f"?{address}", _order(found) == Order(column, reverse=True))


def _order(found: Listed[MissingSymbol]) -> Order | None:
    for column, sorting in found.sorting.items():
        if sorting.now != "none":
            return Order(column, sorting.now == "descending")
    return None


def _csv(found: Listed[MissingSymbol]) -> HttpResponse:
    order = _order(found)
    assert order is not None, "a list without a problem has one"
    rows = MissingSymbol.objects.filter(where(FILTERS, found.asked)).order_by(*order.terms)
    reply = HttpResponse(content_type="text/csv; charset=utf-8", headers=DOWNLOAD)
    writer = csv.writer(reply)
    writer.writerow(COLUMNS)
    for *names, count, last_seen, symbolications in rows.values_list(*COLUMNS)[:MOST]:
        writer.writerow([*map(harmless_cell, names), count, last_seen.isoformat(), symbolications])
    return reply
