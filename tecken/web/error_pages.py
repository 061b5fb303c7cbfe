"""What is answered when no view does; and errors in JSON as pages, for whoever asks for pages."""

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

from tecken.accounts.failures import login_pause
from tecken.accounts.sessions import SAFE
from tecken.errors import CouldNotAsk
from tecken.http.responses import error_reply, reply_to
from tecken.web.auth import nobody, problem, recognise
from tecken.web.middleware import by_a_program
from tecken.web.templatetags.texts import visible

Handler = Callable[[HttpRequest], HttpResponseBase]

AWAY = {
    OperationalError: "The database does not answer",
    InterfaceError: "The database does not answer",
    RedisError: "Redis does not answer",
}
WORDS = {
    HTTPStatus.BAD_REQUEST: "Your browser sent something that cannot be used.",
    HTTPStatus.FORBIDDEN: "You may not do this.",
    HTTPStatus.NOT_FOUND: "There is nothing at {path}",
    HTTPStatus.INTERNAL_SERVER_ERROR: "This is a mistake of ours.",
}
"""Where an answer tells nothing but its status."""


def bad_request(_request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler400
    return error_reply(HTTPStatus.BAD_REQUEST, HTTPStatus.BAD_REQUEST.phrase)


def refused(_request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler403
    return error_reply(HTTPStatus.FORBIDDEN, HTTPStatus.FORBIDDEN.phrase)


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while the exception is handled."""
    error = sys.exc_info()[1]
    if away := next((text for kind, text in AWAY.items() if isinstance(error, kind)), None):
        return reply_to(CouldNotAsk(away), request.path)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_reply(status, status.phrase)


def locked_out(request: HttpRequest, *_: object) -> HttpResponse:
    """Called by django-axes."""
    text = "Too many wrong passwords for this user came from your address"
    reply = error_reply(HTTPStatus.TOO_MANY_REQUESTS, text)
    reply["Retry-After"] = str(round(login_pause(request).total_seconds()))
    return reply


def for_browsers(get_response: Handler) -> Handler:
    """An error with our JSON becomes a page with the same status and headers."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if response.status_code >= HTTPStatus.BAD_REQUEST and not by_a_program(request):
            told = _told(response)
            if told is not None and isinstance(response, HttpResponse):
                _make_page(request, response, told)
        return response

    return answer


def _told(response: HttpResponseBase) -> str | None:
    if not isinstance(response, HttpResponse) or response.get("Content-Type") != "application/json":
        return None
    document: Any = orjson.loads(response.content)
    return document.get("error") if isinstance(document, Mapping) else None


def _make_page(request: HttpRequest, response: HttpResponse, told: str) -> None:
    """Where something is broken, nobody is asked who reads it."""
    status = HTTPStatus(response.status_code)
    if status < HTTPStatus.INTERNAL_SERVER_ERROR and request.method in SAFE:
        recognise(request)
    else:
        nobody(request)
    text = WORDS.get(status, told) if told == status.phrase else told
    wait = response.get("Retry-After")
    page = problem(
        request,
        status,
        text.format(path=visible(request.path)) if text is WORDS.get(status) else text,
        wait=int(wait) if wait else None,
        request_id=_id(request) if status == HTTPStatus.INTERNAL_SERVER_ERROR else "",
        explain=_explained(request),
    )
    response.content = page.content
    for name in ("Content-Type", "Cache-Control", "Expires"):
        response[name] = page[name]
    response["Content-Length"] = str(len(page.content))
    response.cookies.update(page.cookies)


def _id(request: HttpRequest) -> str:
    return getattr(getattr(request, "subject", None), "request", "")


def _explained(request: HttpRequest) -> str:
    """Where a file that was asked for is explained."""
    asked = request.resolver_match.kwargs if request.resolver_match else {}
    try:
        return reverse("explained", args=[asked["debug_file"], asked["debug_id"]])
    except (KeyError, NoReverseMatch):
        return ""
