"""What is answered when no view does: a page for people, JSON for programs."""

from __future__ import annotations

import sys
from http import HTTPStatus

from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from redis.exceptions import RedisError

from tecken import http
from tecken.errors import CouldNotAsk
from tecken.http import error_reply
from tecken.middleware import by_a_program
from tecken.tokens.failures import login_pause
from tecken.tokens.sessions import SAFE
from tecken.web.door import nobody, problem, recognise
from tecken.web.templatetags.texts import visible

AWAY = {
    OperationalError: "The database does not answer",
    InterfaceError: "The database does not answer",
    RedisError: "Redis does not answer",
}


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler400
    return _told(request, HTTPStatus.BAD_REQUEST, "Your browser sent something that cannot be used.")


def refused(request: HttpRequest, exception: Exception) -> HttpResponse:  # noqa: ARG001 - Django's handler403
    return _told(request, HTTPStatus.FORBIDDEN, "You may not do this.")


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if by_a_program(request):
        return http.not_found(request, exception)
    if request.method in SAFE:
        recognise(request)
    return problem(request, HTTPStatus.NOT_FOUND, f"There is nothing at {visible(request.path)}")


def server_error(request: HttpRequest) -> HttpResponse:
    """Django calls it while the exception is handled. What is broken may be anything, so nobody is asked."""
    if away := _away(sys.exc_info()[1]):
        return _unavailable(request, CouldNotAsk(away))
    name = getattr(getattr(request, "subject", None), "request", "")
    status, text = HTTPStatus.INTERNAL_SERVER_ERROR, "This is a mistake of ours."
    return _told(request, status, text, request_id=name)


def locked_out(request: HttpRequest, *_: object) -> HttpResponse:
    """Called by django-axes after too many wrong passwords."""
    wait = round(login_pause(request).total_seconds())
    status, text = (
        HTTPStatus.TOO_MANY_REQUESTS,
        "Too many wrong passwords for this user came from your address.",
    )
    reply = _told(request, status, text, wait=wait)
    reply["Retry-After"] = str(wait)
    return reply


def _away(error: BaseException | None) -> str:
    return next((text for kind, text in AWAY.items() if isinstance(error, kind)), "")


def _unavailable(request: HttpRequest, error: CouldNotAsk) -> HttpResponse:
    plain = http.reply_to(error, request.path)
    if by_a_program(request):
        return plain
    wait = plain["Retry-After"]
    nobody(request)
    reply = problem(request, HTTPStatus.SERVICE_UNAVAILABLE, str(error), wait=int(wait))
    reply["Retry-After"] = wait
    return reply


def _told(request: HttpRequest, status: HTTPStatus, text: str, **more: object) -> HttpResponse:
    if by_a_program(request):
        return error_reply(status, status.phrase)
    nobody(request)
    return problem(request, status, text, **more)
