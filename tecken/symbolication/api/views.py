"""Endpoints of symbolication, /symbolicate/v5 and /symbolicate/v4 (docs/api.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt

from tecken import services
from tecken.http.decorators import View, body, cors, post_only
from tecken.http.ratelimit import caller_of, charge, charge_request, rate_limited
from tecken.http.responses import error_reply, json_reply, render_errors
from tecken.limits import services as limits_services
from tecken.limits.port import Cost
from tecken.metrics import REQUESTS, labelled
from tecken.runtimeconfig.current import on_change, options
from tecken.storage import services as storage_services
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api.answer import V4, V5, ApiVersion
from tecken.symbolication.api.schema import Job, RequestLimits, v4_job, v5_jobs
from tecken.symbolication.memory_cache import FrameCache
from tecken.symbolication.service import Parts, symbolicate

YES = ("1", "true", "yes")

public = cors("POST, OPTIONS")
"""Decorator that lets pages of any site symbolicate."""


@services.per_process
def frames() -> FrameCache:
    """Return this process's cache of rendered frames."""
    return FrameCache(options().process_frame_bytes)


@services.per_process
def resize_frames() -> None:
    """Make the frame cache follow its option, once per process."""
    on_change("process_frame_bytes", lambda size: frames().resize(size))


def parts(request: HttpRequest | None = None) -> Parts:
    """Return the long-lived objects and the limits of one request, or of a call without a request."""
    resize_frames()
    # One snapshot for the whole request, so that its limits belong together.
    values = options()
    return Parts(
        symbolication_services.symbol_loader(),
        symbolication_services.conversion_queue(),
        frames(),
        values.symbolicate_deadline_seconds,
        most_cold=values.symbolicate_max_cold_modules,
        client=client_of(request) if request else "",
        with_try=request is not None and "try" in request.GET,
        note_absent=storage_services.count_absent,
        note_early=storage_services.note_uses,
        max_answer_bytes=values.symbolicate_max_answer_bytes,
    )


def max_body() -> int:
    """Return the largest body of a request in bytes."""
    return options().symbolicate_max_body_bytes


def limits() -> RequestLimits:
    """Return the largest number of jobs and of frames in one request."""
    values = options()
    return RequestLimits(values.symbolicate_max_jobs, values.symbolicate_max_frames)


def count_requests(version: str) -> Callable[[View], View]:
    """Return a decorator that counts requests by API version and status."""

    def decorate(view: View) -> View:
        @wraps(view)
        def inner(request: HttpRequest) -> HttpResponse:
            reply = view(request)
            labelled(REQUESTS, version, reply.status_code).inc()
            return reply

        return inner

    return decorate


def charge_before_body(view: View) -> View:
    """Charge the request before its body is read; `_reply` charges its frames.

    A caller over its limit must not cost the process a body of `symbolicate_max_body_bytes`.
    """

    @wraps(view)
    def inner(request: HttpRequest) -> HttpResponse:
        charge_request(request)
        return view(request)

    return inner


@csrf_exempt
@count_requests(V5.name)
@public
@post_only
@rate_limited("symbolicate", cost=None)
@charge_before_body
@body(max_body)
def v5(request: HttpRequest, content: bytes) -> HttpResponse:
    """Symbolicate one or more jobs, with files, lines and inlined calls."""
    return _reply(request, V5(), v5_jobs(content, limits()))


@csrf_exempt
@count_requests(V4.name)
@public
@post_only
@rate_limited("symbolicate", cost=None)
@charge_before_body
@body(max_body)
def v4(request: HttpRequest, content: bytes) -> HttpResponse:
    """Symbolicate one job, with names of functions only."""
    return _reply(request, V4(), [v4_job(content, limits())])


@csrf_exempt
@cors("GET, HEAD, POST, OPTIONS")
@render_errors
def root(request: HttpRequest) -> HttpResponse:
    """Answer 410 to symbolication requests at /, where the endpoint of old clients was."""
    if request.method == "POST":
        return error_reply(HTTPStatus.GONE, "Symbolication has moved: POST to /symbolicate/v5")
    if request.method in ("GET", "HEAD"):
        return HttpResponse("Tecken: POST stacks to /symbolicate/v5\n", content_type="text/plain")
    reply = error_reply(HTTPStatus.METHOD_NOT_ALLOWED, "Must use HTTP GET")
    reply["Allow"] = "GET, HEAD, POST, OPTIONS"
    return reply


def _reply(request: HttpRequest, version: ApiVersion, jobs: Sequence[Job]) -> HttpResponse:
    """Charge the request's frames, then symbolicate them."""
    # Before the lookup: a request over its limit must not cost any work on the store.
    frames = sum(len(stack) for job in jobs for stack in job.stacks)
    charge(request, "symbolicate", Cost(requests=0, frames=frames))
    limits_services.usage().count_version(version.name)
    debug = request.META.get("HTTP_DEBUG", "").strip().lower() in YES
    return json_reply(symbolicate(parts(request), version, jobs, debug=debug, log=options().full_tracing))


def client_of(request: HttpRequest) -> str:
    """Return the name of the client that shares workers with others: a user, or the network of an address."""
    caller = caller_of(request)
    return f"user {caller.user}" if caller.user else caller.address
