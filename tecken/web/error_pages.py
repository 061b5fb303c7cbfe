"""Responses to failed requests without a view, and JSON errors as pages for browsers."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, reverse
from redis.exceptions import RedisError

from tecken.accounts.addresses import login_pause
from tecken.accounts.sessions import SAFE
from tecken.errors import Unavailable
from tecken.http.responses import error_reply, reply_to
from tecken.web.auth import is_from_program, recognise, render_problem, set_anonymous
from tecken.web.formatting import escape_invisible

Handler = Callable[[HttpRequest], HttpResponseBase]

SERVER_FAILURES = {
    OperationalError: "The database does not answer",
    InterfaceError: "The database does not answer",
    RedisError: "Redis does not answer",
}
# Texts for responses whose error is no more than the phrase of their status.
TEXTS = {
    HTTPStatus.BAD_REQUEST: "Your browser sent a request that this site cannot use.",
    HTTPStatus.FORBIDDEN: "You do not have the permission for this.",
    HTTPStatus.NOT_FOUND: "There is nothing at {path}",
    HTTPStatus.INTERNAL_SERVER_ERROR: "An error occurred on this site. It was logged.",
}


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler400
    """Return the response for a malformed request."""
    return error_reply(HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase)


def forbidden(_request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler403
    """Return the response for a request that Django has refused."""
    return error_reply(HTTPStatus.FORBIDDEN, HTTPStatus.FORBIDDEN.phrase)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response for an unhandled exception, which Django is handling meanwhile."""
    error = sys.exc_info()[1]
    if text := next((text for kind, text in SERVER_FAILURES.items() if isinstance(error, kind)), None):
        return reply_to(Unavailable(text), request.path)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_reply(status, status.phrase)


def reject_login(request: HttpRequest, *_: object) -> HttpResponse:
    """Return the response for a log-in after too many failures; called by django-axes."""
    text = "Too many wrong passwords for this user came from your address"
    response = error_reply(HTTPStatus.TOO_MANY_REQUESTS, text)
    response["Retry-After"] = str(round(login_pause(request).total_seconds()))
    return response


def render_for_browsers(get_response: Handler) -> Handler:
    """Turn each JSON error that a browser gets into a page with the same status and headers."""

    def middleware(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code >= HTTPStatus.BAD_REQUEST and not is_from_program(request):
            error = _error_text(response)
            if error is not None and isinstance(response, HttpResponse):
                _make_page(request, response, error)
        return response

    return middleware


def _error_text(response: HttpResponseBase) -> str | None:
    # A streamed response has no content yet, and reading it here would use it up.
    if not isinstance(response, HttpResponse) or response.get("Content-Type") != "application/json":
        return None
    document: Any = orjson.loads(response.content)
    return document.get("error") if isinstance(document, Mapping) else None


def _make_page(request: HttpRequest, response: HttpResponse, error: str) -> None:
    status = HTTPStatus(response.status_code)
    # After a server error the session is not read: its store may be the part that has failed.
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and request.method in SAFE:
        recognise(request)
    else:
        set_anonymous(request)
    wait = response.get("Retry-After")
    page = render_problem(
        request,
        status,
        _page_text(request, status, error),
        wait=int(wait) if wait else None,
        request_id=_request_id(request) if status == HTTPStatus.INTERNAL_SERVER_ERROR else "",
        explain=_explanation(request),
    )
    response.content = page.content
    for name in ("Content-Type", "Cache-Control", "Expires"):
        response[name] = page[name]
    response["Content-Length"] = str(len(page.content))
    # The page's form to log out needs the cookie that belongs to its form token.
    response.cookies.update(page.cookies)


def _page_text(request: HttpRequest, status: HTTPStatus, error: str) -> str:
    # Only our own texts are formatted: an error may quote braces of the request.
    if error == status.phrase and status in TEXTS:
        return TEXTS[status].format(path=escape_invisible(request.path))
    return error


def _request_id(request: HttpRequest) -> str:
    return getattr(getattr(request, "subject", None), "request", "")


def _explanation(request: HttpRequest) -> str:
    """Return the address that explains the file of a failed download, or ""."""
    arguments = request.resolver_match.kwargs if request.resolver_match else {}
    try:
        return reverse("explained", args=[arguments["debug_file"], arguments["debug_id"]])
    except (KeyError, NoReverseMatch):
        return ""
