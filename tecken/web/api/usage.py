"""Operation that shows daily usage, and the state of the caller's limits."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import redis
from django.db.models import Q
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.accounts.models import Token
from tecken.errors import InvalidInput, TooLarge, Unavailable
from tecken.http import ratelimit
from tecken.http.decorators import Grant
from tecken.http.ratelimit import caller_of
from tecken.limits import services as limits_services
from tecken.limits.models import DailyUsage, Usage, read_days, utc_today
from tecken.limits.port import Cost, Scope, Unit, Whose, Window
from tecken.redisclient import services as redis_services
from tecken.web.api.auth import TokenPermission, grant_of

VIEW = "limits.view_usage"
SCOPES: tuple[Scope, ...] = ("symbolicate", "download", "upload", "api")
# Bounds the rows of a response: each day has several for each token.
MAX_DAYS = 366

logger = logging.getLogger(__name__)
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
        description="`v4`, `v5`: requests of that version of symbolication",
        json_schema_extra={"enum": [*SCOPES, "v4", "v5"]},
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
    stored = Usage.objects.filter(is_visible, is_selected, day__range=(first, last))
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
    limits = [limit for scope in SCOPES for limit in ratelimit.limits_in_force(scope)]
    try:
        decision = limits_services.limiter().charge(caller_of(request), Cost(0), limits)
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
