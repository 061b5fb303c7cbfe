"""The line of a request: always for one that failed with us, for others while `log_requests` is on."""

from __future__ import annotations

import logging
from http import HTTPStatus

from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tecken.accounts.client_address import address
from tecken.runtimeconfig.current import options

logger = logging.getLogger("tecken.requests")


def tell(request: HttpRequest, response: HttpResponseBase, seconds: float) -> None:
    """`seconds`: until the head of the answer was ready. Paths are told without their query."""
    failed = response.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR
    if failed or options().log_requests:
        level = logging.ERROR if failed else logging.INFO
        said = (request.method, request.path, response.status_code)
        logger.log(level, "%s %s %d", *said, extra=_fields(request, response, seconds))


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
