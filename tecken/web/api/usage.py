"""Operations that show daily usage, the state of the caller's limits, and counts of recent uploads.

Counts of past days are kept in the general cache.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import redis
from django.core.cache import cache
from django.db.models import Count, Q, QuerySet, Sum
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.utils import timezone
from django_redis.exceptions import ConnectionInterrupted
from ninja import Field, Query, Router, Schema
from redis.exceptions import RedisError

from tecken.accounts.models import Token
from tecken.errors import InvalidInput, TooLarge, Unavailable
from tecken.http import ratelimit
from tecken.http.decorators import Grant
from tecken.http.ratelimit import caller_of
from tecken.limits import services as limits_services
from tecken.limits.models import ALL_TOKENS, DailyUsage, Usage, read_days, utc_today
from tecken.limits.port import Cost, Scope, Unit, Whose, Window
from tecken.redisclient import services as redis_services
from tecken.storage.models import FetchedModule, SymbolFile, takes_space
from tecken.symbolication.fetched import total
from tecken.upload.models import Upload
from tecken.web.api import fetched, uploads
from tecken.web.api.openapi import TokenPermission, grant_of
from tecken.web.lists import Paged, Paging, sort_field
from tecken.web.usage_figures import SCOPES, UNITS, UsageFilters
from tecken.web.usage_rows import load_ranking

logger = logging.getLogger(__name__)
VIEW = "limits.view_usage"
# Bounds the rows of a response: each day has several for each token.
MAX_DAYS = 366

router = Router(tags=["usage"], auth=TokenPermission())


class UsagePeriod(Schema):
    """Days and token to show."""

    first: date | None = Field(None, description="day of UTC; default 30 days before `last`")
    last: date | None = Field(None, description="default today")
    token: int | None = Field(None, description="id of the only token to show")


class UsageAmount(Schema):
    """Usage of one day."""

    day: date
    what: str = Field(
        description="`v4`, `v5`, `text`: requests of that endpoint of symbolication",
        json_schema_extra={"enum": [*SCOPES, "text", "v4", "v5"]},
    )
    unit: Unit
    token: int = Field(description="id of the token; 0: requests without a token")
    amount: int


class LimitState(Schema):
    """State of a limit."""

    scope: Scope
    policy: str = Field(description="name in the header RateLimit-Policy")
    unit: Unit
    quantity: int
    window: Window = Field(description="days and months of UTC")
    whose: Whose
    remaining: int
    reset: float = Field(description="seconds until more is available")


class UsageResponse(Schema):
    """Response of the operation."""

    usage: list[UsageAmount]
    complete: bool = Field(description="false: redis-cache does not answer, so the latest hours are missing")
    limits: list[LimitState] = Field(description="present limits of the caller")
    decided_alone: bool = Field(description="true: redis-cache does not answer; limits hold per process")


@router.get("", response=UsageResponse, summary="Show the usage of your tokens, and the remaining limits")
def show_usage(request: HttpRequest, period: Query[UsagePeriod]) -> object:
    """Return the usage of the caller's tokens, or with `limits.view_usage` that of all.

    Each process sends its counts once a second.
    """
    last = period.last or utc_today()
    first = period.first or last - timedelta(30)
    if not timedelta(0) <= last - first <= timedelta(MAX_DAYS):
        raise InvalidInput(f"first and last: at most {MAX_DAYS} days, in this order")
    grant = grant_of(request)
    recent = _load_recent()
    rows = _load_rows(grant, period.token, first, last, recent or [])
    return {"usage": rows, "complete": recent is not None, **_limit_states(request)}


class RankingPaging(Paging):
    """Parameters that select a page. `after` is not used: pages have numbers."""

    sort: str | None = sort_field(UNITS)


class RankedLimit(Schema):
    """Limit of a token or user."""

    scope: Scope
    text: str = Field(description="such as `20 GiB/day per user`")
    share: float = Field(description="used part of it, 0 to 1")
    is_exception: bool


class RankedUsage(Schema):
    """Token or user with its usage."""

    number: int = Field(alias="owner.number", description="0: requests without a token or user")
    name: str = Field(alias="owner.name")
    user: str = Field(alias="owner.email")
    amounts: dict[str, int | None] = Field(description="by unit; null: not known")
    share: float = Field(description="of the unit that the list is sorted by")
    limits: list[RankedLimit] | None = Field(description="null: redis-cache does not answer")


class UsageRanking(Paged):
    """Page of a ranking."""

    ranking: list[RankedUsage]


@router.get(
    "top/",
    response=UsageRanking,
    summary="Rank tokens or users by their usage",
    auth=TokenPermission(VIEW),
    by_alias=False,
)
def rank_usage(request: HttpRequest, paging: Query[RankingPaging], values: Query[UsageFilters]) -> object:  # noqa: ARG001
    """Return the tokens or users that used most, each with its limits. Counts are up to five minutes old."""
    return load_ranking(values, paging).to_response("ranking")


def _load_recent() -> list[DailyUsage] | None:
    """Return usage that is not in the database yet, or None if redis-cache does not respond."""
    try:
        return read_days(redis_services.counters_client())
    except redis.RedisError as error:
        logger.warning("Cannot read the usage of the latest hours: %s; it is left out", error)
        return None


def _load_rows(
    grant: Grant, token: int | None, first: date, last: date, recent: list[DailyUsage]
) -> list[DailyUsage]:
    own_tokens = None if VIEW in grant.permissions else set(_token_ids(grant))
    is_visible = Q() if own_tokens is None else Q(token__in=own_tokens)
    is_selected = Q() if token is None else Q(token=token)
    stored = Usage.objects.filter(is_visible, is_selected, day__range=(first, last), token__gt=ALL_TOKENS)
    merged = {row[:4]: DailyUsage(*row) for row in stored.values_list(*DailyUsage._fields)}
    # A job copies counts from redis-cache to the database, so one of both may lag: the larger is right.
    for row in recent:
        is_shown = (own_tokens is None or row.token in own_tokens) and token in (None, row.token)
        if is_shown and first <= row.day <= last:
            merged[row[:4]] = max(row, merged.get(row[:4], row))
    return [merged[name] for name in sorted(merged)]


def _token_ids(grant: Grant) -> list[int]:
    return list(Token.objects.filter(user=grant.user).values_list("pk", flat=True))


def _limit_states(request: HttpRequest) -> dict[str, object]:
    """Return the state of all limits, in one round trip. A cost of 0 spends nothing."""
    caller = caller_of(request)
    limits = [limit for scope in SCOPES for limit in ratelimit.limits_of(scope, caller)]
    try:
        decision = limits_services.limiter().charge(caller, Cost(0), limits)
    except (Unavailable, TooLarge):
        return {"limits": [], "decided_alone": True}
    states = [
        {
            "scope": limit.scope,
            "policy": limit.name,
            "unit": limit.unit,
            "quantity": limit.quantity,
            "window": limit.window,
            "whose": limit.whose,
            "remaining": remaining,
            "reset": reset,
        }
        for limit, remaining, reset in decision.statuses
    ]
    return {"limits": states, "decided_alone": decision.local}


# Recent uploads

DAYS = 30
# A transaction that began before midnight may end after it, so a day is final an hour later.
LATE_SECONDS = 3600
CACHED_SECONDS = 40 * 86_400
CACHE_ERRORS = (ConnectionInterrupted, RedisError)

stats_router = Router(tags=["stats"], auth=TokenPermission())


class DayCount(NamedTuple):
    """Rows of a day and the sum of their sizes."""

    rows: int
    size: int


class UploadAmount(Schema):
    """Number and size of uploads or files."""

    count: int
    total_size: int = Field(description="bytes; of files that share content, only the first one counts")


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
    fetched: UploadAmount | None = Field(
        description="modules of upstreams, and the bytes stored of them; null for callers who may not list"
    )


class StatsResponse(Schema):
    """Response of the operation."""

    stats: Stats


# Programs are generated from the names of operations, so these do not follow the module.
@stats_router.get(
    "",
    response=StatsResponse,
    summary="Count uploads of today, yesterday and the last 30 days",
    operation_id="tecken_web_api_stats_show_stats",
)
def show_stats(request: HttpRequest) -> object:
    """Return the caller's own uploads, or those of all users for an auditor. Days are those of UTC."""
    grant = grant_of(request)
    owner = "all" if uploads.AUDITOR in grant.permissions else str(grant.user.pk)
    tokens = Token.objects.filter(user=grant.user)
    expired = Count("pk", filter=Q(expires_at__lt=timezone.now()))
    return {
        "stats": {
            "uploads": recent_amounts(uploads.visible_uploads(grant), owner),
            "files": recent_amounts(uploads.visible_files(grant), owner),
            "tokens": tokens.aggregate(all=Count("pk"), expired=expired),
            "fetched": _count_fetched() if grant.permissions.intersection(fetched.VIEW) else None,
        }
    }


def _count_fetched() -> dict[str, int]:
    modules, size = total(FetchedModule.objects.all())
    return {"count": modules, "total_size": size}


def recent_amounts(rows: QuerySet[Upload] | QuerySet[SymbolFile], owner: str) -> dict[str, object]:
    """Return numbers and sizes of rows. `owner` names them in the cache: a user's number, or `all`."""
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
    size = Sum("size", filter=takes_space() if rows.model is SymbolFile else None, default=0)
    amounts = per_day.annotate(count=Count("pk"), total_size=size).values_list("day", "count", "total_size")
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
