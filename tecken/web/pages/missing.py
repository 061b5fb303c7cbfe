"""Page of missing symbols: requested symbol files that no source has."""

from __future__ import annotations

import csv
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlencode

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import path
from django.views.decorators.http import require_safe

from tecken.download.missing import harmless_cell
from tecken.download.models import MissingSymbol
from tecken.http.keyset import Order
from tecken.web.api.symbols import FILTERS, MissingFilters
from tecken.web.auth import open_page
from tecken.web.lists import ORDER_PARAMETERS, PageList, combine_filters, load_list
from tecken.web.registration import SitePage

SORTS = {"count": "Most requested", "last_seen": "Latest"}
# Filters that are visible at first; the others are behind "More".
BASIC_FILTERS = ("debug_file", "debug_id", "count", "last_seen")
COLUMNS = ("debug_file", "debug_id", "code_file", "code_id", "count", "last_seen", "symbolications")
# Bounds the CSV file to one or two megabytes.
MAX_CSV_ROWS = 10_000
CSV_HEADERS = {"Content-Disposition": 'attachment; filename="missing.csv"'}


class OrderTab(NamedTuple):
    """Tab that shows the list in one order."""

    title: str
    address: str
    is_current: bool


@open_page
@require_safe
def show_missing(request: HttpRequest) -> HttpResponse:
    """Show the list of missing symbols, or return it as a CSV file."""
    missing = load_list(request, MissingSymbol.objects.all(), MissingFilters, FILTERS, SORTS)
    if request.GET.get("format") == "csv" and not missing.problem:
        return _write_csv(missing)
    context = {
        "list": missing,
        "tabs": [_order_tab(missing, column) for column in SORTS],
        "more": any(name in missing.query for name in FILTERS if name not in BASIC_FILTERS),
        "csv": f"?{urlencode({**missing.query, 'format': 'csv'})}",
        "most": MAX_CSV_ROWS,
    }
    status = HTTPStatus.BAD_REQUEST if missing.problem else HTTPStatus.OK
    return render(request, "missing/list.html", context, status=status)


def _order_tab(missing: PageList[MissingSymbol], column: str) -> OrderTab:
    filters = {name: text for name, text in missing.query.items() if name not in ORDER_PARAMETERS}
    address = urlencode({**filters, "sort": column, "reverse": "true"})
    return OrderTab(SORTS[column], f"?{address}", _order_of(missing) == Order(column, reverse=True))


def _order_of(missing: PageList[MissingSymbol]) -> Order | None:
    for column, heading in missing.headings.items():
        if heading.direction != "none":
            return Order(column, heading.direction == "descending")
    return None


def _write_csv(missing: PageList[MissingSymbol]) -> HttpResponse:
    order = _order_of(missing)
    assert order is not None, "a list without a problem has an order"
    rows = MissingSymbol.objects.filter(combine_filters(FILTERS, missing.query)).order_by(*order.terms)
    response = HttpResponse(content_type="text/csv; charset=utf-8", headers=CSV_HEADERS)
    writer = csv.writer(response)
    writer.writerow(COLUMNS)
    for *names, count, last_seen, symbolications in rows.values_list(*COLUMNS)[:MAX_CSV_ROWS]:
        # Names come from clients, and a spreadsheet would run one that starts like a formula.
        writer.writerow([*map(harmless_cell, names), count, last_seen.isoformat(), symbolications])
    return response


PAGE = SitePage(
    title="Missing",
    about="See the most requested missing modules.",
    urls=[path("missing/", show_missing, name="missing")],
)
