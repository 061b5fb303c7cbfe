"""Middleware of all requests: path spelling, security headers, maintenance, and one set of runtime options.

`people_middleware` adds what only pages for people need, such as sessions.

The maintenance check reads the memory of this process and nothing else: the database, sessions and Redis may
be down while the site is closed.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from datetime import UTC, datetime
from functools import lru_cache, reduce
from hashlib import sha256
from http import HTTPStatus
from pathlib import Path
from string import Template
from time import perf_counter
from typing import Any, NamedTuple

import orjson
from axes.middleware import AxesMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.html import escape
from whitenoise.middleware import WhiteNoiseMiddleware

from tecken.accounts.sessions import is_staff, staff_cookie_middleware
from tecken.errors import BadOption, Forbidden
from tecken.http.decorators import authenticate, preflight
from tecken.http.responses import render_errors
from tecken.metrics import count_request
from tecken.monitoring import degraded
from tecken.monitoring.logs import choose_request_id, log_context, log_request
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance
from tecken.runtimeconfig.snapshot import Subject
from tecken.web.auth import is_from_program
from tecken.web.urls import PAGES

Handler = Callable[[HttpRequest], HttpResponseBase]

# Operators need these to end the maintenance, balancers and monitoring to see the state of the site.
OPEN_PATHS = frozenset({"/__heartbeat__", "/__lbheartbeat__", "/__version__", "/health", "/metrics"})
OPEN_PREFIXES = (
    *("/admin/", "/api/config/", "/api/doctor/", "/api/redis/", "/login/", "/logout/", "/oidc/", "/static/"),
    *(page.path for page in PAGES if page.is_open_under_maintenance),
)
ROUTES = tuple(f"/{url.pattern}" for page in PAGES for url in page.urls)
PEOPLE_PATHS = frozenset(route for route in ROUTES if "<" not in route)
PEOPLE_PREFIXES = (
    *("/admin/", "/login/", "/logout/", "/oidc/", "/static/"),
    *(route.partition("<")[0] for route in ROUTES if "<" in route),
)
INNERMOST_FIRST: tuple[Callable[[Any], Any], ...] = (
    AxesMiddleware,
    MessageMiddleware,
    staff_cookie_middleware,
    AuthenticationMiddleware,
    SessionMiddleware,
    WhiteNoiseMiddleware,
)
KINDS = {"symbolicate": "symbolicate", "source": "symbolicate", "upload": "upload", "api": "api"}
"""Kinds of requests in the metrics, by the first name of the path. The others are for pages, or downloads."""
MONITORING = frozenset({"health", "metrics", "__heartbeat__", "__lbheartbeat__", "__version__"})
"""First names of paths that monitors request, which would hide what clients receive."""
SLASHES = re.compile("/{2,}")
METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
CLOSED, UPLOADS_CLOSED = "Under maintenance", "Uploads are closed"
MAY_OVERRIDE = "runtimeconfig.change_option"

# Django's template engine is not used: this page has to appear when other parts of the site fail.
MAINTENANCE_PAGE = Template(Path(__file__).with_name("maintenance.template").read_text())
STYLE = MAINTENANCE_PAGE.template.partition("<style>")[2].partition("</style>")[0]
# The policy of this page allows its one style sheet by its hash; inline styles are forbidden otherwise.
STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
MAINTENANCE_POLICY = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def collapse_slashes(get_response: Handler) -> Handler:
    """Read `//name/ID/file` as `/name/ID/file`.

    Many clients append a path to a base URL that ends in a slash. This comes before everything that checks
    a path, so that no check is passed by another spelling.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if "//" in request.path_info:
            request.path_info = SLASHES.sub("/", request.path_info)
            request.path = SLASHES.sub("/", request.path)
        return get_response(request)

    return middleware


def set_policy(get_response: Handler) -> Handler:
    """Add the headers with which browsers and caches treat each response safely.

    A browser loads only our own resources and runs no inline script. No cache stores a response that depends
    on the token or the session of the request; such a response may contain the key of a new token.
    """

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        if getattr(request, "is_personal", False):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["Auth-Token", "Cookie"])
        return response

    return middleware


def check_maintenance(get_response: Handler) -> Handler:
    """Answer 503 while the site, or the upload endpoint, is closed for maintenance."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        if maintenance := current.maintenance():
            if not _is_open(request):
                return _reject(request, CLOSED, maintenance)
        elif (maintenance := current.uploads_closed()) and _is_upload(request):
            return _reject(request, UPLOADS_CLOSED, maintenance)
        return get_response(request)

    return middleware


def _is_open(request: HttpRequest) -> bool:
    path = request.path_info
    return path in OPEN_PATHS or path.startswith(OPEN_PREFIXES) or is_staff(request)


def _is_upload(request: HttpRequest) -> bool:
    is_upload_path = request.path_info == "/upload" or request.path_info.startswith("/upload/")
    return is_upload_path and request.method in ("POST", "PUT")


def _reject(request: HttpRequest, title: str, maintenance: Maintenance) -> HttpResponse:
    # A preflight succeeds, so that a page of another site can read the 503 of the request that follows.
    if request.method == "OPTIONS":
        return _add_public_headers(preflight(METHODS))
    message = maintenance.message or current.options().maintenance_message
    bodies = _render_bodies(title, message, maintenance.until)
    is_json = is_from_program(request)
    content = bodies.json if is_json else bodies.html
    headers = {
        "Content-Type": "application/json" if is_json else "text/html",
        "Content-Length": str(len(content)),
        "Retry-After": str(_retry_after(maintenance)),
        "Cache-Control": "no-store",
        "Vary": "Accept",
        "Content-Security-Policy": MAINTENANCE_POLICY,
    }
    response = HttpResponse(content, status=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
    # Otherwise Django logs an error for each of these responses.
    response._has_been_logged = True  # type: ignore[attr-defined]
    response["X-Request-Id"] = _request_id(request)
    return _add_public_headers(response)


def _request_id(request: HttpRequest) -> str:
    return choose_request_id(request.META.get("HTTP_X_REQUEST_ID", ""))


def _retry_after(maintenance: Maintenance) -> int:
    """Return the seconds after which a client should try again."""
    if maintenance.retry_after is not None:
        wait = maintenance.retry_after
    elif maintenance.until is not None:
        wait = (maintenance.until - datetime.now(UTC)).total_seconds()
    else:
        wait = current.options().maintenance_retry_after_seconds
    return max(1, math.ceil(wait))


class MaintenanceBodies(NamedTuple):
    """Bodies of a maintenance response for browsers and for programs."""

    html: bytes
    json: bytes


# A closed site may get its whole traffic here, so the bodies are not made again for each response.
@lru_cache(maxsize=8)
def _render_bodies(title: str, message: str, until: datetime | None) -> MaintenanceBodies:
    time = f"<p>Until {until:%H:%M} UTC.</p>\n" if until else ""
    html = MAINTENANCE_PAGE.substitute(title=escape(title), message=escape(message), until=time).encode()
    return MaintenanceBodies(html, orjson.dumps({"error": f"{title}: {message}", "maintenance": True}))


def _add_public_headers(response: HttpResponse) -> HttpResponse:
    """Let pages of other sites read the response, as they read those of the API."""
    response["Access-Control-Allow-Origin"] = "*"
    response["Access-Control-Expose-Headers"] = "Retry-After, X-Config-Version"
    response["X-Config-Version"] = str(current.version())
    response["X-Tecken-State"] = degraded.states_text()
    return response


def pin_options(get_response: Handler) -> Handler:
    """Keep one snapshot of the runtime options for each request, until its response has been sent.

    The headers of the response have the version of the options, the id of the request, and the degraded
    states of the process. `X-Config-Override: symbolicate_max_jobs=2; log_level=DEBUG` replaces values for
    this request, if the caller may change options.
    """

    @render_errors
    def run_with_override(request: HttpRequest) -> HttpResponseBase:
        if MAY_OVERRIDE not in authenticate(request).permissions:
            raise Forbidden(f"X-Config-Override needs the permission {MAY_OVERRIDE}")
        texts = _parse_override(request.META["HTTP_X_CONFIG_OVERRIDE"])
        with current.pinned(request.subject, texts):  # type: ignore[attr-defined]
            return _keep_context(get_response(request))

    def middleware(request: HttpRequest) -> HttpResponseBase:
        subject, started = Subject(request=_request_id(request)), perf_counter()
        request.subject = subject  # type: ignore[attr-defined]
        with log_context(request_id=subject.request), current.pinned(subject):
            version = current.version()
            if "HTTP_X_CONFIG_OVERRIDE" in request.META:
                response = run_with_override(request)
            else:
                response = _keep_context(get_response(request))
            seconds = perf_counter() - started
            log_request(request, response, seconds)
            if kind := _request_kind(request.path_info):
                count_request(kind, response.status_code, seconds)
        response.headers["X-Request-Id"] = subject.request
        response.headers["X-Config-Version"] = str(version)
        response.headers["X-Tecken-State"] = degraded.states_text()
        return response

    return middleware


def _request_kind(path: str) -> str:
    """Return the kind of a request in the metrics; empty for one of a monitor."""
    if is_for_people(path):
        return "page"
    first = path.split("/", 2)[1]
    return "" if first in MONITORING else KINDS.get(first, "download")


def _parse_override(header: str) -> dict[str, str]:
    """Return the options of a header `name=value; name=value`.

    Raises:
        BadOption: A part has no `=`. Names and values are checked when the override takes effect.
    """
    pairs = [part.partition("=") for part in header.split(";") if part.strip()]
    if not pairs or not all(sign for _name, sign, _text in pairs):
        raise BadOption(f"X-Config-Override: should be NAME=VALUE; NAME=VALUE, not {header!r}")
    return {name.strip(): text.strip() for name, _sign, text in pairs}


def _keep_context(response: HttpResponseBase) -> HttpResponseBase:
    """Run the generator of a streamed response in the present context.

    The web server calls it after the middleware has returned and the options are no longer pinned. In its own
    context it would read the latest options, so one response could mix two versions.
    """
    # A file has no code that reads options, and as a plain iterator it would be copied through Python.
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        response.streaming_content = _run_in(copy_context(), iter(response))
    return response


def _run_in(context: Context, pieces: Iterator[bytes]) -> Iterator[bytes]:
    while (piece := context.run(next, pieces, None)) is not None:
        yield piece


def people_middleware(get_response: Handler) -> Handler:
    """Wrap requests for pages in all layers, and pass other requests on."""
    get_page = reduce(lambda inner, layer: layer(inner), INNERMOST_FIRST, get_response)

    def respond(request: HttpRequest) -> HttpResponseBase:
        return get_page(request) if is_for_people(request.path_info) else get_response(request)

    return respond


def is_for_people(path: str) -> bool:
    """Return whether a path is one of a page, or below one that has further pages."""
    return path in PEOPLE_PATHS or path.startswith(PEOPLE_PREFIXES)
