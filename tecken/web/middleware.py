"""What every request passes before the URL table is asked: the maintenance door, then one set of options.

The door reads memory and nothing else: neither database, session nor Redis may be there while it is shut.
"""

from __future__ import annotations

import math
import re
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextvars import Context, copy_context
from datetime import UTC, datetime
from functools import lru_cache
from hashlib import sha256
from http import HTTPStatus
from string import Template
from time import perf_counter
from typing import NamedTuple

import orjson
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.html import escape

from tecken.accounts.staff import is_staff
from tecken.errors import BadOption, NotAllowed
from tecken.http.decorators import granted, preflight
from tecken.http.responses import answers_errors
from tecken.monitoring import degraded
from tecken.monitoring.logs.context import choose_request_id, log_context
from tecken.monitoring.logs.requests import log_request
from tecken.runtimeconfig import current
from tecken.runtimeconfig.maintenance import Maintenance
from tecken.runtimeconfig.rollout import Subject

Handler = Callable[[HttpRequest], HttpResponseBase]

OPEN_PATHS = frozenset({"/__heartbeat__", "/__lbheartbeat__", "/__version__", "/health", "/metrics"})
OPEN_BELOW = (
    *("/admin/", "/api/config/", "/api/redis/", "/config/", "/health/", "/login/", "/logout/", "/oidc/"),
    "/static/",
)
PROGRAMS_BELOW = ("/api/", "/symbolicate/v", "/upload/")
SLASHES = re.compile("/{2,}")
METHODS = "GET, HEAD, POST, PUT, DELETE, OPTIONS"
CLOSED, UPLOADS_CLOSED = "Under maintenance", "Uploads are closed"
MAY_OVERRIDE = "runtimeconfig.change_option"
STYLE = """
:root { --paper: #fff; --raised: #f6f7f9; --ink: #1b1f24; --soft: #59636e; --line: #d8dde3 }
@media (prefers-color-scheme: dark) {
  :root { --paper: #14171b; --raised: #1d2127; --ink: #e6e9ed; --soft: #9aa5b1; --line: #343b44 }
}
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, sans-serif }
header { background: var(--raised); border-bottom: 1px solid var(--line); font-weight: 700 }
header p, main { max-width: 68rem; margin: 0 auto; padding: .7rem 1.25rem }
.code { margin: 2rem 0 0; color: var(--soft); font: 600 3.5rem/1 ui-monospace, monospace }
h1 { font-size: 1.6rem; line-height: 1.2; margin: .5rem 0 }
main p { max-width: 34rem }
"""
PAGE = Template(f"""\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>$title</title>
<style>{STYLE}</style>
<header><p>Tecken</p></header>
<main>
<p class="code" aria-hidden="true">503</p>
<h1>$title</h1>
<p>$message</p>
$until</main>
</html>
""")
STYLE_HASH = b64encode(sha256(STYLE.encode()).digest()).decode()
POLICY_OF_PAGE = f"default-src 'none'; style-src 'sha256-{STYLE_HASH}'; frame-ancestors 'none'"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


def collapse_slashes(get_response: Handler) -> Handler:
    """Read `//name/ID/file` as `/name/ID/file`.

    Many clients append a path to a base URL that ends in a slash. This comes before everything that looks at
    a path, so that no check is passed by another spelling.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        if "//" in request.path_info:
            request.path_info = SLASHES.sub("/", request.path_info)
            request.path = SLASHES.sub("/", request.path)
        return get_response(request)

    return answer


def content_policy(get_response: Handler) -> Handler:
    """Add what each answer tells browsers and caches.

    A browser loads for it what is ours alone, and no inline scripts. No cache keeps an answer that depends on
    the token or the session that asked, a new token's key among them.
    """

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        response.headers.setdefault("Content-Security-Policy", POLICY)
        if getattr(request, "is_personal", False):
            response.headers.setdefault("Cache-Control", "no-store")
            patch_vary_headers(response, ["Auth-Token", "Cookie"])
        return response

    return answer


def maintenance(get_response: Handler) -> Handler:
    def answer(request: HttpRequest) -> HttpResponseBase:
        if now := current.maintenance():
            if not _passes(request):
                return _away(request, CLOSED, now)
        elif (now := current.uploads_closed()) and _uploads(request):
            return _away(request, UPLOADS_CLOSED, now)
        return get_response(request)

    return answer


def _passes(request: HttpRequest) -> bool:
    path = request.path_info
    return path in OPEN_PATHS or path.startswith(OPEN_BELOW) or is_staff(request)


def _uploads(request: HttpRequest) -> bool:
    is_upload = request.path_info == "/upload" or request.path_info.startswith("/upload/")
    return is_upload and request.method in ("POST", "PUT")


def _away(request: HttpRequest, title: str, now: Maintenance) -> HttpResponse:
    if request.method == "OPTIONS":  # what it asks for gets the 503, and a page of another site reads it
        return _readable(preflight(METHODS))
    texts = _texts(title, now.message or current.options().maintenance_message, now.until)
    content, kind = (texts.json, "application/json") if by_a_program(request) else (texts.html, "text/html")
    headers = {
        "Content-Type": kind,
        "Content-Length": str(len(content)),
        "Retry-After": str(_retry_after(now)),
        "Cache-Control": "no-store",
        "Vary": "Accept",
        "Content-Security-Policy": POLICY_OF_PAGE,
    }
    reply = HttpResponse(content, status=HTTPStatus.SERVICE_UNAVAILABLE, headers=headers)
    reply._has_been_logged = True  # type: ignore[attr-defined]  # else Django logs an error for each
    reply["X-Request-Id"] = _id(request)
    return _readable(reply)


def _id(request: HttpRequest) -> str:
    return choose_request_id(request.META.get("HTTP_X_REQUEST_ID", ""))


def by_a_program(request: HttpRequest) -> bool:
    """Who asks for pages says so."""
    wants = request.META.get("HTTP_ACCEPT", "")
    return "text/html" not in wants or request.path_info.startswith(PROGRAMS_BELOW)


def _retry_after(now: Maintenance) -> int:
    """Seconds."""
    if now.retry_after is not None:
        wait = now.retry_after
    elif now.until is not None:
        wait = (now.until - datetime.now(UTC)).total_seconds()
    else:
        wait = current.options().maintenance_retry_after_seconds
    return max(1, math.ceil(wait))


class Texts(NamedTuple):
    html: bytes
    json: bytes


@lru_cache(maxsize=8)
def _texts(title: str, message: str, until: datetime | None) -> Texts:
    time = f"<p>Until {until:%H:%M} UTC.</p>\n" if until else ""
    html = PAGE.substitute(title=escape(title), message=escape(message), until=time).encode()
    return Texts(html, orjson.dumps({"error": f"{title}: {message}", "maintenance": True}))


def _readable(reply: HttpResponse) -> HttpResponse:
    """By a page of another site, as what the API answers is."""
    reply["Access-Control-Allow-Origin"] = "*"
    reply["Access-Control-Expose-Headers"] = "Retry-After, X-Config-Version"
    reply["X-Config-Version"] = str(current.version())
    reply["X-Tecken-State"] = degraded.states_text()
    return reply


def configured(get_response: Handler) -> Handler:
    """One set of options from here to the end of the answer, and its version in a header; beside it, what
    the process has to do without.

    `X-Config-Override: symbolicate_max_jobs=2; log_level=DEBUG` has others for this request, for who may
    change them.
    """

    @answers_errors
    def overridden(request: HttpRequest) -> HttpResponseBase:
        if MAY_OVERRIDE not in granted(request).permissions:
            raise NotAllowed(f"X-Config-Override needs the permission {MAY_OVERRIDE}")
        with current.request_override(_wanted(request.META["HTTP_X_CONFIG_OVERRIDE"])):
            current.repin(request.subject)  # type: ignore[attr-defined]
            return _to_the_end(get_response(request))

    def answer(request: HttpRequest) -> HttpResponseBase:
        one, started = Subject(request=_id(request)), perf_counter()
        request.subject = one  # type: ignore[attr-defined]
        with log_context(request_id=one.request), current.pinned(one):
            version = current.version()
            if "HTTP_X_CONFIG_OVERRIDE" in request.META:
                response = overridden(request)
            else:
                response = _to_the_end(get_response(request))
            log_request(request, response, perf_counter() - started)
        response.headers["X-Request-Id"] = one.request
        response.headers["X-Config-Version"] = str(version)
        response.headers["X-Tecken-State"] = degraded.states_text()
        return response

    return answer


def _wanted(header: str) -> dict[str, str]:
    """`name=value; name=value`. Raises BadOption for a part without `=`; the rest is told when it is used."""
    pairs = [part.partition("=") for part in header.split(";") if part.strip()]
    if not pairs or not all(sign for _name, sign, _text in pairs):
        raise BadOption(f"X-Config-Override: should be NAME=VALUE; NAME=VALUE, not {header!r}")
    return {name.strip(): text.strip() for name, _sign, text in pairs}


def _to_the_end(response: HttpResponseBase) -> HttpResponseBase:
    """A streamed answer is made after we have returned it: it takes these options along."""
    if isinstance(response, StreamingHttpResponse) and not isinstance(response, FileResponse):
        response.streaming_content = _in_context(copy_context(), iter(response))
    return response


def _in_context(context: Context, pieces: Iterator[bytes]) -> Iterator[bytes]:
    while (piece := context.run(next, pieces, None)) is not None:
        yield piece
