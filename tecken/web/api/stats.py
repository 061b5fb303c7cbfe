"""Operation that counts recent uploads. Counts of past days are kept in the general cache."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

from django.core.cache import cache
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils import timezone
from django_redis.exceptions import ConnectionInterrupted
from ninja import Field, Router, Schema
from redis.exceptions import RedisError

from tecken.accounts.models import Token
from tecken.storage.models import SymbolFile
from tecken.upload.models import Upload
from tecken.web.api import files, uploads
from tecken.web.api.auth import TokenPermission, grant_of

DAYS = 30
# A transaction that began before midnight may end after it, so a day is final an hour later.
LATE_SECONDS = 3600
CACHED_SECONDS = 40 * 86_400
CACHE_ERRORS = (ConnectionInterrupted, RedisError)

logger = logging.getLogger(__name__)
router = Router(tags=["stats"], auth=TokenPermission())


class DayCount(NamedTuple):
    """Rows of a day and the sum of their sizes."""

    rows: int
    size: int


class UploadAmount(Schema):
    """Number and size of uploads or files."""

    count: int
    total_size: int = Field(description="bytes")


class RecentAmounts(Schema):
    """Amounts of recent periods."""

    today: UploadAmount
    yesterday: UploadAmount
    last_30_days: UploadAmount


class TokenCounts(Schema):
    """Numbers of tokens."""

    all: int
    expired: int


class Stats(Schema):
    """Recent uploads and files, and the caller's tokens."""

    uploads: RecentAmounts
    files: RecentAmounts
    tokens: TokenCounts = Field(description="the caller's own")


class StatsResponse(Schema):
    """Response of the operation."""

    stats: Stats


@router.get("", response=StatsResponse, summary="Count uploads of today, yesterday and the last 30 days")
def show_stats(request: HttpRequest) -> object:
    """Return the caller's own uploads, or those of all users for an auditor. Days are those of UTC."""
    grant = grant_of(request)
    owner = "all" if uploads.AUDITOR in grant.permissions else str(grant.user.pk)
    tokens = Token.objects.filter(user=grant.user)
    expired = Count("pk", filter=Q(expires_at__lt=timezone.now()))
    return {
        "stats": {
            "uploads": _recent_amounts(uploads.visible_to(grant), owner),
            "files": _recent_amounts(files.visible_to(grant), owner),
            "tokens": tokens.aggregate(all=Count("pk"), expired=expired),
        }
    }


def _recent_amounts(rows: QuerySet[Upload] | QuerySet[SymbolFile], owner: str) -> dict[str, object]:
    now = timezone.now().astimezone(UTC)
    days = [now.date() - timedelta(days=n) for n in range(DAYS)]
    per_day = _count_days(rows, f"stats:{rows.model.__name__}:{owner}", days, now)
    return {
        "today": _total(per_day[:1]),
        "yesterday": _total(per_day[1:2]),
        "last_30_days": _total(per_day),
    }


def _total(amounts: list[DayCount]) -> dict[str, int]:
    return {"count": sum(n.rows for n in amounts), "total_size": sum(n.size for n in amounts)}


def _count_days(
    rows: QuerySet[Upload] | QuerySet[SymbolFile], name: str, days: list[date], now: datetime
) -> list[DayCount]:
    cached = _read_cache(f"{name}:{day}" for day in days)
    counts = {day: DayCount(*cached[key]) for day in days if (key := f"{name}:{day}") in cached}
    if missing := [day for day in days if day not in counts]:
        # One query counts all days from the first one that is not cached.
        counted = _count_since(rows, min(missing))
        fresh = {day: counted.get(day, DayCount(0, 0)) for day in missing}
        # The count of a day that is not over would be wrong for as long as it is cached.
        last_final = (now - timedelta(seconds=LATE_SECONDS)).date()
        _write_cache({f"{name}:{day}": list(amount) for day, amount in fresh.items() if day < last_final})
        counts |= fresh
    return [counts[day] for day in days]


def _count_since(rows: QuerySet[Upload] | QuerySet[SymbolFile], first: date) -> dict[date, DayCount]:
    since = rows.filter(created_at__gte=datetime.combine(first, time(), UTC)).order_by()
    per_day = since.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day")
    amounts = per_day.annotate(count=Count("pk"), total_size=Sum("size")).values_list(
        "day", "count", "total_size"
    )
    return {day: DayCount(count, total_size) for day, count, total_size in amounts}


def _read_cache(names: Iterable[str]) -> dict[str, list[int]]:
    try:
        return cache.get_many(list(names))
    except CACHE_ERRORS as error:
        logger.warning("Cannot read counts of past days from the cache: %s; counting all days", error)
        return {}


def _write_cache(amounts: dict[str, list[int]]) -> None:
    try:
        cache.set_many(amounts, CACHED_SECONDS)
    except CACHE_ERRORS as error:
        logger.warning("Cannot cache counts of past days: %s; the next request counts them again", error)
