"""What was used, day by day, and how the caller's limits stand."""

from __future__ import annotations

import logging
from datetime import date, timedelta

import redis
from django.db.models import Q
from django.http import HttpRequest
from ninja import Field, Query, Router, Schema

from tecken.accounts.models import Token
from tecken.errors import BadInput, CouldNotAsk, TooMuch
from tecken.http import ratelimit
from tecken.http.decorators import Grant
from tecken.http.ratelimit import caller_of
from tecken.limits import daily
from tecken.limits import services as limits_services
from tecken.limits.daily import Row
from tecken.limits.models import Usage
from tecken.limits.port import Cost, Scope, Unit, Whose, Window
from tecken.redisclient import services as redis_services
from tecken.web.api.auth import Permitted, grant_of

VIEW = "limits.view_usage"
SCOPES: tuple[Scope, ...] = ("symbolicate", "download", "upload", "api")
LONGEST_DAYS = 366

logger = logging.getLogger(__name__)
router = Router(tags=["usage"], auth=Permitted())


class Days(Schema):
    first: date | None = Field(None, description="of UTC; without it 30 days back")
    last: date | None = Field(None, description="without it today")
    token: int | None = Field(None, description="only that of the token with this number")


class Amount(Schema):
    day: date
    what: str = Field(
        description="`v4`, `v5`: requests of that version of symbolication",
        json_schema_extra={"enum": [*SCOPES, "v4", "v5"]},
    )
    unit: Unit
    token: int = Field(description="its number; 0: all who showed none")
    amount: int


class Standing(Schema):
    scope: Scope
    policy: str = Field(description="its name in the header RateLimit-Policy")
    unit: Unit
    quantity: int
    window: Window = Field(description="day and month are those of UTC")
    whose: Whose
    remaining: int
    reset: float = Field(description="seconds until there is more")


class UsageAnswer(Schema):
    usage: list[Amount]
    complete: bool = Field(description="false: redis-cache did not answer, so the latest hours are not there")
    limits: list[Standing] = Field(description="yours, in force now")
    decided_alone: bool = Field(description="true: redis-cache does not answer, and they hold per process")


@router.get("", response=UsageAnswer, summary="What your tokens have used, and what is left")
def show_usage(request: HttpRequest, days: Query[Days]) -> object:
    """Everybody's for who has `limits.view_usage`. A process sends what it counts each second."""
    last = days.last or daily.utc_today()
    first = days.first or last - timedelta(30)
    if not timedelta(0) <= last - first <= timedelta(LONGEST_DAYS):
        raise BadInput(f"first and last: at most {LONGEST_DAYS} days, in this order")
    grant = grant_of(request)
    recent = _recent()
    rows = _rows(grant, days.token, first, last, recent or [])
    return {"usage": rows, "complete": recent is not None, **_limits(request)}


def _recent() -> list[Row] | None:
    """None: redis-cache does not answer."""
    try:
        return daily.live(redis_services.counters_client())
    except redis.RedisError as error:
        logger.warning("usage of the latest hours: %s", error)
        return None


def _rows(grant: Grant, token: int | None, first: date, last: date, recent: list[Row]) -> list[Row]:
    mine = None if VIEW in grant.permissions else set(_tokens(grant))
    whose = Q() if mine is None else Q(token__in=mine)
    one = Q() if token is None else Q(token=token)
    found = Usage.objects.filter(whose, one, day__range=(first, last))
    merged = {row[:4]: Row(*row) for row in found.values_list(*Row._fields)}
    for row in recent:
        seen = (mine is None or row.token in mine) and token in (None, row.token)
        if seen and first <= row.day <= last:
            merged[row[:4]] = max(row, merged.get(row[:4], row))
    return [merged[name] for name in sorted(merged)]


def _tokens(grant: Grant) -> list[int]:
    return list(Token.objects.filter(user=grant.user).values_list("pk", flat=True))


def _limits(request: HttpRequest) -> dict[str, object]:
    """All in one round trip; looking costs nothing."""
    limits = [limit for scope in SCOPES for limit in ratelimit.limits_in_force(scope)]
    try:
        verdict = limits_services.limiter().spend(caller_of(request), Cost(0), limits)
    except (CouldNotAsk, TooMuch):
        return {"limits": [], "decided_alone": True}
    standings = [
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
        for limit, remaining, reset in verdict.statuses
    ]
    return {"limits": standings, "decided_alone": verdict.local}
