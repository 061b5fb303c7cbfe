"""Endpoints that list missing symbols, as CSV and as JSON (docs/api.md)."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from datetime import datetime, timedelta

import orjson
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone

from tecken.download import missing
from tecken.download.models import MissingSymbol
from tecken.http.decorators import cors, get_only
from tecken.http.responses import json_reply, render_errors

METHODS = "GET, HEAD, OPTIONS"
COLUMNS = ("debug_file", "debug_id", "code_file", "code_id")
ROWS_AT_ONCE = 2_000


class CsvLine:
    """File for csv.writer, whose `writerow` returns the result of `write`: the line itself."""

    def write(self, line: str) -> str:
        """Return the line."""
        return line


@cors(METHODS)
@render_errors
@get_only
def as_csv(request: HttpRequest) -> HttpResponseBase:
    """Return the symbols that were requested since yesterday, or with `?today=1` since midnight, as CSV."""
    headers = {"Content-Type": "text/csv; charset=utf-8"}
    if request.method == "HEAD":
        return HttpResponse(headers=headers)
    return StreamingHttpResponse(_lines(_from(request.GET.get("today", ""))), headers=headers)


@cors(METHODS)
@render_errors
@get_only
def as_json(request: HttpRequest) -> HttpResponse:
    """Return one page of missing symbols as JSON, with the URL of the next page."""
    rows, following = missing.page(request.GET.get("after"))
    url = f"/missingsymbols/?after={following}" if following else None
    return json_reply(orjson.dumps({"missing_symbols": [_row(row) for row in rows], "next": url}))


def _from(today: str) -> datetime:
    """Return midnight in UTC, of today or of yesterday."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    # Yesterday is included, so that a client that reads the list once a day at any hour misses none.
    return midnight if today else midnight - timedelta(days=1)


def _lines(moment: datetime) -> Iterator[str]:
    writer = csv.writer(CsvLine())
    yield writer.writerow(COLUMNS)
    rows = missing.since(moment).values_list(*COLUMNS)
    for names in rows.iterator(ROWS_AT_ONCE):
        yield writer.writerow(map(missing.harmless_cell, names))


def _row(row: MissingSymbol) -> dict[str, object]:
    names = {column: getattr(row, column) for column in COLUMNS}
    counts = {"count": row.count, "symbolications": row.symbolications}
    return {**names, **counts, "last_seen": row.last_seen}
