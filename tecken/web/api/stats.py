"""How much was uploaded lately. Days that are over are counted once, and remembered in the default cache."""

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
from tecken.web.api.auth import Permitted, grant_of

DAYS = 30
LATE_SECONDS = 3600  # a transaction that began before midnight may end after it
REMEMBERED_SECONDS = 40 * 86_400
AWAY = (ConnectionInterrupted, RedisError)

logger = logging.getLogger(__name__)
router = Router(tags=["stats"], auth=Permitted())


class Amount(NamedTuple):
    rows: int
    size: int


class Amounts(Schema):
    count: int
    total_size: int = Field(description="bytes")


class Lately(Schema):
    today: Amounts
    yesterday: Amounts
    last_30_days: Amounts


class TokenCounts(Schema):
    all: int
    expired: int


class Stats(Schema):
    uploads: Lately
    files: Lately
    tokens: TokenCounts = Field(description="your own")


class StatsAnswer(Schema):
    stats: Stats


@router.get("", response=StatsAnswer, summary="What was uploaded today, yesterday and in the last 30 days")
def stats(request: HttpRequest) -> object:
    """Your own uploads, or everybody's for who may see them. Days are those of UTC."""
    grant = grant_of(request)
    whose = "all" if uploads.AUDITOR in grant.permissions else str(grant.user.pk)
    tokens = Token.objects.filter(user=grant.user)
    expired = Count("pk", filter=Q(expires_at__lt=timezone.now()))
    return {
        "stats": {
            "uploads": _lately(uploads.seen_by(grant), whose),
            "files": _lately(files.seen_by(grant), whose),
            "tokens": tokens.aggregate(all=Count("pk"), expired=expired),
        }
    }


def _lately(rows: QuerySet[Upload] | QuerySet[SymbolFile], whose: str) -> dict[str, object]:
    now = timezone.now().astimezone(UTC)
    days = [now.date() - timedelta(days=n) for n in range(DAYS)]
    per_day = _per_day(rows, f"stats:{rows.model.__name__}:{whose}", days, now)
    return {
        "today": _sum(per_day[:1]),
        "yesterday": _sum(per_day[1:2]),
        "last_30_days": _sum(per_day),
    }


def _sum(amounts: list[Amount]) -> dict[str, int]:
    return {"count": sum(n.rows for n in amounts), "total_size": sum(n.size for n in amounts)}


def _per_day(
    rows: QuerySet[Upload] | QuerySet[SymbolFile], name: str, days: list[date], now: datetime
) -> list[Amount]:
    remembered = _remembered(f"{name}:{day}" for day in days)
    found = {day: Amount(*remembered[key]) for day in days if (key := f"{name}:{day}") in remembered}
    if missing := [day for day in days if day not in found]:
        counted = _counted(rows, min(missing))
        fresh = {day: counted.get(day, Amount(0, 0)) for day in missing}
        over = (now - timedelta(seconds=LATE_SECONDS)).date()
        _remember({f"{name}:{day}": list(amount) for day, amount in fresh.items() if day < over})
        found |= fresh
    return [found[day] for day in days]


def _counted(rows: QuerySet[Upload] | QuerySet[SymbolFile], first: date) -> dict[date, Amount]:
    since = rows.filter(created_at__gte=datetime.combine(first, time(), UTC)).order_by()
    per_day = since.annotate(day=TruncDate("created_at", tzinfo=UTC)).values("day")
    amounts = per_day.annotate(count=Count("pk"), total_size=Sum("size")).values_list(
        "day", "count", "total_size"
    )
    return {day: Amount(count, total_size) for day, count, total_size in amounts}


def _remembered(names: Iterable[str]) -> dict[str, list[int]]:
    try:
        return cache.get_many(list(names))
    except AWAY as error:
        logger.warning("Counting all days anew: %s", error)
        return {}


def _remember(amounts: dict[str, list[int]]) -> None:
    try:
        cache.set_many(amounts, REMEMBERED_SECONDS)
    except AWAY as error:
        logger.warning("Counts of days are not remembered: %s", error)
