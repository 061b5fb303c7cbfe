"""Missing symbols: their counts, the removal of old ones, and the endpoints that list them (docs/api.md).

Counts are moved from redis-cache into the database in batches. Old rows are removed, and so are the least
requested ones beyond `keep_missing_rows`.
"""

from __future__ import annotations

import csv
import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import orjson
import redis
from django.db import connection, transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils import timezone
from redis.lock import Lock

from tecken.download.models import MissingSymbol
from tecken.errors import InvalidInput
from tecken.http.decorators import cors, get_only
from tecken.http.keyset import Order, Position, page_after
from tecken.http.responses import json_reply, render_errors
from tecken.runtimeconfig.current import options
from tecken.storage.miss_counts import COUNTS, Requester

TAKEN = "missing:taken"
"""Key of the counts from before a write began; each is deleted after it is written."""
TURN = "missing:turn"
TURN_SECONDS = 300
BATCH = 500
ADD = """
INSERT INTO download_missingsymbol
  (digest, debug_file, debug_id, code_file, code_id, count, symbolications, debuginfod, symsrv, last_seen)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (digest) DO UPDATE
SET count = download_missingsymbol.count + excluded.count,
    symbolications = download_missingsymbol.symbolications + excluded.symbolications,
    debuginfod = download_missingsymbol.debuginfod + excluded.debuginfod,
    symsrv = download_missingsymbol.symsrv + excluded.symsrv,
    last_seen = excluded.last_seen
"""

# Requests with a column of their own, in the order of ADD; what they leave of `count` are downloads.
COUNTED = (Requester.SYMBOLICATION, Requester.DEBUGINFOD, Requester.SYMSRV)


class MissWriter:
    """Writer of the counts of `tecken.storage.miss_counts` into the database."""

    def __init__(self, client: redis.Redis) -> None:
        self._client = client

    def write(self) -> int:
        """Move all counts into the database and return the number of different misses.

        Raises DatabaseError or redis.RedisError, which is a LockError while another process writes.
        """
        with Lock(self._client, TURN, timeout=TURN_SECONDS, blocking=False):
            # A process that was killed may have left some.
            written = self._drain()
            # RENAME is atomic: requests count into a new hash from here on, and none of their counts is lost.
            if self._client.exists(COUNTS):
                self._client.rename(COUNTS, TAKEN)
                written += self._drain()
        return written

    def _drain(self) -> int:
        written = 0
        while batch := self._read_batch():
            add(batch)
            # After the commit, so that a killed process counts at most BATCH misses twice and loses none.
            self._client.hdel(TAKEN, *(name for name, _ in batch))
            written += len(batch)
        return written

    def _read_batch(self) -> list[tuple[bytes, int]]:
        pairs: Any = self._client.hrandfield(TAKEN, BATCH, withvalues=True) or []
        return [(name, int(count)) for name, count in zip(pairs[::2], pairs[1::2], strict=True)]


def add(counts: Iterable[tuple[bytes, int]]) -> None:
    """Write counts by field, as `tecken.storage.miss_counts.miss_field` makes it, in one transaction."""
    now = connection.ops.adapt_datetimefield_value(datetime.now(UTC))
    rows = [_row(orjson.loads(field), count, now) for field, count in counts]
    # Sorted, so that two writers lock the rows in the same order and cannot deadlock.
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(ADD, sorted(rows))


def _row(field: list[Any], count: int, now: Any) -> tuple[Any, ...]:
    """Return the columns of a row, which has the counts of all kinds of requests."""
    # A fifth item has the requester, unless it is a download.
    names, requester = field[:4], Requester(field[4] if len(field) > 4 else 0)
    digest = hashlib.blake2b(orjson.dumps(names), digest_size=16).hexdigest()
    return (digest, *names, count, *(count * (requester is counted) for counted in COUNTED), now)


PAGE_ROWS = 100
NEWEST = Order("last_seen", reverse=True)
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")  # noqa: RUF001 - spreadsheets read these too
"""Beginnings of cells that spreadsheets run as a formula. Source: OWASP, CSV Injection."""
CURSOR = re.compile(r"(\d{1,17})-(\d{1,18})")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def harmless_cell(text: str) -> str:
    """Return a cell of CSV that a spreadsheet shows and does not run; other text stays as it is."""
    return f"'{text}" if text.startswith(FORMULA) else text


class MissingPage(NamedTuple):
    """Rows of one page, and the cursor of the page after it."""

    rows: list[MissingSymbol]
    next: str | None


def page(after: str | None) -> MissingPage:
    """Return the rows after the `next` of another page. Raises InvalidInput."""
    position = position_of(after) if after else None
    rows, has_next = page_after(MissingSymbol.objects.all(), NEWEST, position, PAGE_ROWS)
    return MissingPage(rows, cursor_of(rows[-1]) if has_next else None)


def cursor_of(row: MissingSymbol) -> str:
    """Return the text from which `page` continues after the row."""
    return f"{(row.last_seen - EPOCH) // timedelta(microseconds=1)}-{row.pk}"


def position_of(cursor: str) -> Position:
    """Return the position of a row from its cursor. Raises InvalidInput."""
    found = CURSOR.fullmatch(cursor)
    if not found:
        raise InvalidInput("after must be what next says on the page before")
    return Position(EPOCH + timedelta(microseconds=int(found[1])), int(found[2]))


def since(moment: datetime) -> QuerySet[MissingSymbol]:
    """Return the rows that were requested after a moment, newest first."""
    return MissingSymbol.objects.filter(last_seen__gte=moment).order_by(*NEWEST.terms)


# Removal

DELETED_AT_ONCE = 10_000


def remove_old(now: datetime, *, dry_run: bool = False) -> int:
    """Remove files that have not been requested for `keep_missing_days`, and return their number."""
    old = MissingSymbol.objects.filter(last_seen__lt=now - timedelta(days=options().keep_missing_days))
    if dry_run:
        return old.count()
    removed = 0
    # In batches, because one DELETE of all rows would block other writers for as long as it runs.
    while batch := list(old.order_by("last_seen").values_list("pk", flat=True)[:DELETED_AT_ONCE]):
        removed += old.filter(pk__in=batch).delete()[0]
    return removed


def remove_excess() -> int:
    """Remove the least requested files beyond `keep_missing_rows`, the oldest first; return their number.

    Files with a build id and no name have at most a quarter of the rows: debuggers request every
    library of a system, again and again.
    """
    # Anyone can request any name, so without a bound strangers could fill the database.
    most = options().keep_missing_rows
    without_name = MissingSymbol.objects.filter(debug_file="", code_file="")
    removed = _remove_least(without_name, max(1, most // 4))
    return removed + _remove_least(MissingSymbol.objects.all(), most)


def _remove_least(rows: QuerySet[MissingSymbol], most: int) -> int:
    """Remove the least requested rows beyond `most`, and return their number."""
    excess = rows.count() - most
    removed = 0
    while removed < excess:
        least = rows.order_by("count", "id").values_list("pk", flat=True)
        batch = list(least[: min(DELETED_AT_ONCE, excess - removed)])
        if not batch:
            break
        removed += MissingSymbol.objects.filter(pk__in=batch).delete()[0]
    return removed


# Endpoints

METHODS = "GET, HEAD, OPTIONS"
COLUMNS = ("debug_file", "debug_id", "code_file", "code_id")
COUNT_COLUMNS = ("count", "symbolications", "debuginfod", "symsrv")
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
    rows, following = page(request.GET.get("after"))
    url = f"/missingsymbols/?after={following}" if following else None
    return json_reply(orjson.dumps({"missing_symbols": [_document(row) for row in rows], "next": url}))


def _from(today: str) -> datetime:
    """Return midnight in UTC, of today or of yesterday."""
    midnight = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    # Yesterday is included, so that a client that reads the list once a day at any hour misses none.
    return midnight if today else midnight - timedelta(days=1)


def _lines(moment: datetime) -> Iterator[str]:
    writer = csv.writer(CsvLine())
    yield writer.writerow(COLUMNS)
    rows = since(moment).values_list(*COLUMNS)
    for names in rows.iterator(ROWS_AT_ONCE):
        yield writer.writerow(map(harmless_cell, names))


def _document(row: MissingSymbol) -> dict[str, object]:
    names = {column: getattr(row, column) for column in COLUMNS}
    counts = {column: getattr(row, column) for column in COUNT_COLUMNS}
    return {**names, **counts, "last_seen": row.last_seen}
