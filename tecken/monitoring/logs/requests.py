"""Log line of a request: always for a server error, and for others while `log_requests` is on."""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tecken.accounts.client_address import address
from tecken.runtimeconfig.current import options

logger = logging.getLogger("tecken.requests")


def log_request(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """Log a request. `seconds` passed until the head of the response; the query is not logged."""
    is_failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if is_failed or options().log_requests:
        level = logging.ERROR if is_failed else logging.INFO
        arguments = (request.method, request.path, response.status_code)
        logger.log(level, "%s %s %d", *arguments, extra=_fields(request, response, seconds))


def _fields(request: HttpRequest, response: HttpResponseBase, seconds: float) -> dict[str, object]:
    length = response.headers.get("Content-Length")
    token = getattr(request, "subject", None) and request.subject.token  # type: ignore[attr-defined]
    fields = {
        "method": request.method,
        "path": request.path,
        "status": response.status_code,
        "seconds": round(seconds, 6),
        "bytes": int(length) if length else None,
        "address": address(request),
        "token": token,
    }
    return {name: value for name, value in fields.items() if value is not None}
