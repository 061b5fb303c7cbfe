"""Charges of requests to their callers. `tecken.limits` decides whether a request is allowed."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from http import HTTPStatus
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse

from tecken.accounts.addresses import address, network
from tecken.accounts.tokens import token_owners
from tecken.errors import RateLimited, Unavailable
from tecken.http.responses import Reply, render_errors
from tecken.limits import services as limits_services
from tecken.limits.exceptions import (
    ExceptionIndex,
    apply_exceptions,
    find_exceptions,
    index_exceptions,
)
from tecken.limits.models import utc_today
from tecken.limits.port import (
    Caller,
    Cost,
    Decision,
    Evaluation,
    Limit,
    Scope,
    Without,
    enforce,
    parse_limit,
    policy_header,
    status_header,
)
from tecken.metrics import LIMIT_DECISIONS
from tecken.runtimeconfig.current import options
from tecken.runtimeconfig.options import Options
from tecken.storage import services as storage_services


class Charge(NamedTuple):
    """Amount that a request spends of its limits in one step, and the decision about it."""

    scope: Scope
    caller: Caller
    cost: Cost
    limits: tuple[Limit, ...]
    decision: Decision


def rate_limited(
    scope: Scope, cost: Callable[[HttpRequest], Cost] | None = lambda _request: Cost()
) -> Callable[[Callable[..., Reply]], Callable[..., Reply | HttpResponse]]:
    """Charge `cost` before the view is called. With None the view calls `charge` itself.

    The response has the state of the limits in its headers. If the request fails, its bytes are refunded.
    """

    def guard(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
        @render_errors
        def charged(request: HttpRequest, *args: object, **kwargs: object) -> Reply:
            if scope == "upload":
                check_disk_space(request)
            if cost is not None:
                charge(request, scope, cost(request))
            return view(request, *args, **kwargs)

        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
            reply = charged(request, *args, **kwargs)
            if statuses := getattr(request, "statuses", ()):
                reply["RateLimit-Policy"], reply["RateLimit"] = (
                    policy_header(statuses),
                    status_header(statuses),
                )
            _settle(request, failed=reply.status_code >= HTTPStatus.BAD_REQUEST)
            return reply

        return inner

    return guard


def check_disk_space(request: HttpRequest) -> None:
    """Raise Unavailable if the body of an upload would fill a disk. No part of the body is read before."""
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    # A body over the limit gets 413, no matter how full the disk is.
    storage_services.disk_space().check(min(length, options().upload_max_bytes))


def upload_cost(request: HttpRequest) -> Cost:
    """Return the cost of a body. The front has set Content-Length for a chunked body as well."""
    return Cost(bytes=int(request.META.get("CONTENT_LENGTH") or 0))


def charge(request: HttpRequest, scope: Scope, cost: Cost) -> None:
    """Charge the caller.

    A later charge of the same request costs no request. It needs a decision only if a limit counts its unit.

    Raises:
        RateLimited: A limit is reached.
        TooLarge: The cost alone is more than a limit allows.
        Unavailable: redis-cache does not answer, and a limit is closed without it.
    """
    caller = caller_of(request)
    limits = limits_of(scope, caller)
    if not cost.requests and not any(cost.of(limit.unit) for limit in limits):
        limits = ()
    decision = _decide(request, caller, cost, limits) if limits else Decision()
    request.__dict__.setdefault("charges", []).append(Charge(scope, caller, cost, limits, decision))


def charge_request(request: HttpRequest) -> None:
    """Charge a symbolication request before its body is read. Raises RateLimited, Unavailable.

    The number of frames is not known yet. A caller that has no frames left is refused here, before the body
    is parsed.
    """
    charge(request, "symbolicate", Cost())
    statuses = getattr(request, "statuses", ())
    refusing = tuple(status.limit.unit == "frames" and not status.remaining for status in statuses)
    if any(refusing):
        LIMIT_DECISIONS.labels("symbolicate", "refused").inc()
        enforce(Evaluation(allowed=False, at=0, statuses=statuses, refusing=refusing))


def charge_in_worker(caller: Caller, cost: Cost) -> None:
    """Charge a caller for symbolication that a worker has done. Raises nothing.

    A caller that is above a limit now is refused by `charge_request` until it has waited.
    """
    limits = [limit for limit in limits_of("symbolicate", caller) if cost.of(limit.unit)]
    limits_services.limiter().spend(caller, cost, limits)
    limits_services.count_in_worker("symbolicate", cost, caller.token)


def _decide(request: HttpRequest, caller: Caller, cost: Cost, limits: tuple[Limit, ...]) -> Decision:
    count = partial(LIMIT_DECISIONS.labels, limits[0].scope)
    try:
        decision = limits_services.limiter().charge(caller, cost, limits)
    except RateLimited as error:
        request.statuses = error.statuses  # type: ignore[attr-defined]
        count("refused").inc()
        raise
    except Unavailable:
        count("closed").inc()
        raise
    request.statuses = decision.statuses  # type: ignore[attr-defined]
    if decision.statuses or decision.local:
        count("alone" if decision.local else "allowed").inc()
    return decision


def caller_of(request: HttpRequest) -> Caller:
    """Return the caller that a request counts for. With an unknown token that is its address alone."""
    where, grant = network(address(request)), getattr(request, "auth", None)
    if grant is not None:
        return Caller(where, grant.token.pk if grant.token else None, str(grant.user.pk))
    key = request.META.get("HTTP_AUTH_TOKEN")
    who = token_owners().find(key) if key else None
    return Caller(where, *who) if who else Caller(where)


def _settle(request: HttpRequest, failed: bool) -> None:
    """Count the usage of a request, and refund the bytes of a failed one."""
    for item in getattr(request, "charges", ()):
        cost: Cost = item.cost
        if failed and cost.bytes:
            limits_services.limiter().refund(item.caller, Cost(0, 0, cost.bytes), item.limits, item.decision)
            cost = cost._replace(bytes=0)
        limits_services.usage().count(item.scope, cost, item.caller.token)


def limits_of(scope: Scope, caller: Caller) -> tuple[Limit, ...]:
    """Return the limits of a scope for a caller, with the exceptions for its token and user."""
    limits, values = limits_in_force(scope), options()
    if not values.limit_exceptions:
        return limits
    exceptions = find_exceptions(_index(values.limit_exceptions), scope, caller)
    without: Without = getattr(values, f"limit_{scope}_without_redis")
    return apply_exceptions(limits, exceptions, without, utc_today()) if exceptions else limits


@lru_cache(maxsize=2)
def _index(texts: tuple[str, ...]) -> ExceptionIndex:
    return index_exceptions(texts)


def limits_in_force(scope: Scope, values: Options | None = None) -> tuple[Limit, ...]:
    """Return the limits of a scope that `values`, else the options in force, set for everyone."""
    current = values or options()
    return _parse_limits(
        scope, getattr(current, f"limit_{scope}"), getattr(current, f"limit_{scope}_without_redis")
    )


@lru_cache(maxsize=64)
def _parse_limits(scope: Scope, texts: tuple[str, ...], without: Without) -> tuple[Limit, ...]:
    return tuple(parse_limit(item, scope, without) for item in texts)
