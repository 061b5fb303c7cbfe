"""What a request costs whoever asks, and what its answer says of that; tecken.limits decides."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache, partial, wraps
from http import HTTPStatus
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse

from tecken.accounts.caller import seen
from tecken.accounts.client_address import address, network
from tecken.errors import CouldNotAsk, OverLimit
from tecken.http.responses import Reply, answers_errors
from tecken.limits import services as limits_services
from tecken.limits import text
from tecken.limits.decision import Evaluation, enforce, policy_header, status_header
from tecken.limits.port import Caller, Cost, Decision, Limit, Scope, Without
from tecken.metrics import LIMIT_DECISIONS
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services


class Charge(NamedTuple):
    """What a request has spent in one go."""

    scope: Scope
    caller: Caller
    cost: Cost
    limits: tuple[Limit, ...]
    verdict: Decision


def limited(
    scope: Scope, cost: Callable[[HttpRequest], Cost] | None = lambda _request: Cost()
) -> Callable[[Callable[..., Reply]], Callable[..., Reply | HttpResponse]]:
    """Counts what `cost` says before the view is called; with None the view calls `spend` itself.

    An answer says how its limits stand. When it fails, bytes that it cost are given back.
    """

    def guard(view: Callable[..., Reply]) -> Callable[..., Reply | HttpResponse]:
        @answers_errors
        def counted(request: HttpRequest, *args: object, **kwargs: object) -> Reply:
            if scope == "upload":
                check_disk_space(request)
            if cost is not None:
                spend(request, scope, cost(request))
            return view(request, *args, **kwargs)

        @wraps(view)
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> Reply | HttpResponse:
            reply = counted(request, *args, **kwargs)
            if statuses := getattr(request, "standings", ()):
                reply["RateLimit-Policy"], reply["RateLimit"] = (
                    policy_header(statuses),
                    status_header(statuses),
                )
            _settle(request, failed=reply.status_code >= HTTPStatus.BAD_REQUEST)
            return reply

        return inner

    return guard


def check_disk_space(request: HttpRequest) -> None:
    """Raise CouldNotAsk when the body of an upload would fill a disk. Nothing of the body is read before."""
    length = int(request.META.get("CONTENT_LENGTH") or 0)
    # A body over the limit gets its 413, however full the disk is.
    storage_services.disk_space().check(min(length, options().upload_max_bytes))


def upload_cost(request: HttpRequest) -> Cost:
    """Return what a body costs; the front has set Content-Length for a chunked one, too."""
    return Cost(bytes=int(request.META.get("CONTENT_LENGTH") or 0))


def spend(request: HttpRequest, scope: Scope, cost: Cost) -> None:
    """Charge the caller. Raises OverLimit, TooMuch, CouldNotAsk, as a Limiter does.

    What is charged after the request itself costs no decision when no limit counts it.
    """
    limits, caller = limits_in_force(scope), caller_of(request)
    if not cost.requests and not any(cost.of(limit.unit) for limit in limits):
        limits = ()
    verdict = _decided(request, caller, cost, limits) if limits else Decision()
    request.__dict__.setdefault("bills", []).append(Charge(scope, caller, cost, limits, verdict))


def charge_request(request: HttpRequest) -> None:
    """Charge a symbolication request before its body is read. Raises OverLimit, CouldNotAsk.

    Its frames are not known yet, so a caller who has none left is refused here, and the text of one is not
    parsed.
    """
    spend(request, "symbolicate", Cost())
    statuses = getattr(request, "standings", ())
    refusing = tuple(standing.limit.unit == "frames" and not standing.remaining for standing in statuses)
    if any(refusing):
        LIMIT_DECISIONS.labels("symbolicate", "refused").inc()
        enforce(Evaluation(allowed=False, at=0, statuses=statuses, refusing=refusing))


def _decided(request: HttpRequest, caller: Caller, cost: Cost, limits: tuple[Limit, ...]) -> Decision:
    count = partial(LIMIT_DECISIONS.labels, limits[0].scope)
    try:
        verdict = limits_services.limiter().spend(caller, cost, limits)
    except OverLimit as error:
        request.statuses = error.statuses  # type: ignore[attr-defined]
        count("refused").inc()
        raise
    except CouldNotAsk:
        count("closed").inc()
        raise
    request.statuses = verdict.statuses  # type: ignore[attr-defined]
    if verdict.statuses or verdict.local:
        count("alone" if verdict.local else "allowed").inc()
    return verdict


def caller_of(request: HttpRequest) -> Caller:
    """Whom it counts for. With a token that nobody has it counts for its address."""
    where, grant = network(address(request)), getattr(request, "auth", None)
    if grant is not None:
        return Caller(where, grant.token.pk if grant.token else None, str(grant.user.pk))
    key = request.META.get("HTTP_AUTH_TOKEN")
    who = seen().who(key) if key else None
    return Caller(where, *who) if who else Caller(where)


def _settle(request: HttpRequest, failed: bool) -> None:
    """Usage is what was served: of what failed the bytes are given back."""
    for bill in getattr(request, "bills", ()):
        cost: Cost = bill.cost
        if failed and cost.bytes:
            limits_services.limiter().refund(bill.caller, Cost(0, 0, cost.bytes), bill.limits, bill.verdict)
            cost = cost._replace(bytes=0)
        limits_services.usage().count(bill.scope, cost, bill.caller.token)


def limits_in_force(scope: Scope) -> tuple[Limit, ...]:
    """Return the limits of a scope that the live options set."""
    current = options()
    return _parsed(
        scope, getattr(current, f"limit_{scope}"), getattr(current, f"limit_{scope}_without_redis")
    )


@lru_cache(maxsize=64)
def _parsed(scope: Scope, texts: tuple[str, ...], without: Without) -> tuple[Limit, ...]:
    return tuple(text.limit(item, scope, without) for item in texts)
