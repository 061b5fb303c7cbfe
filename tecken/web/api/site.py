"""The API as a whole: its parts, its errors, its description."""

from __future__ import annotations

import logging
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.vary import vary_on_headers
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from tecken.errors import TeckenError, TooMuch
from tecken.http.responses import error_reply, not_found, reply_to
from tecken.web.api import config, files, missing, redis, stats, syminfo, tokens, uploads, usage
from tecken.web.api.description import DescribedAPI

logger = logging.getLogger(__name__)


class ObjectParser(Parser):
    """Parser of bodies that are JSON objects, as those of all our operations are.

    From a text or a list django-ninja would read no field at all, and continue with the defaults of each.
    """

    def parse_body(self, request: HttpRequest) -> dict[str, Any]:
        """Return the body. Raises TypeError or ValueError, from which django-ninja makes a 400."""
        body: object = super().parse_body(request)
        if not isinstance(body, dict):
            raise TypeError("must be a JSON object")
        return body


api = DescribedAPI(
    title="Tecken",
    version="1",
    description="Tokens, uploads, files, missing symbols, configuration and state of a symbols server.",
    urls_namespace="api",
    docs_url=None,  # tecken.web has the page
    parser=ObjectParser(),
)
api.add_decorator(vary_on_headers("Auth-Token", "Cookie"), mode="view")
for prefix, router in {
    "tokens/": tokens.router,
    "uploads/": uploads.router,
    "uploads/files/": files.router,
    "downloads/missing/": missing.router,
    "stats/": stats.router,
    "config/": config.router,
    "redis/": redis.router,
    "syminfo/": syminfo.router,
    "usage/": usage.router,
}.items():
    api.add_router(prefix, router)


@api.exception_handler(TeckenError)
def told(request: HttpRequest, error: TeckenError) -> HttpResponse:
    return reply_to(error, request.path)


@api.exception_handler(ValidationError)
def misshapen(request: HttpRequest, error: ValidationError) -> HttpResponse:  # noqa: ARG001 - ninja's handler
    """One sentence for the first thing that is wrong: where it is, and what was expected."""
    first = error.errors[0]
    names = [
        str(part)
        for part in first["loc"]
        if part not in ("query", "path", "body", "payload", "paging", "filters")
    ]
    return error_reply(HTTPStatus.BAD_REQUEST, f"{'.'.join(names) or 'body'}: {first['msg']}")


@api.exception_handler(HttpError)
def refused(request: HttpRequest, error: HttpError) -> HttpResponse:  # noqa: ARG001 - ninja's handler
    """A body that is no JSON."""
    return error_reply(error.status_code, str(error))


@api.exception_handler(Http404)
def absent(request: HttpRequest, error: Http404) -> HttpResponse:
    return not_found(request, error)


@api.exception_handler(RequestDataTooBig)
def body_too_large(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:  # noqa: ARG001 - ninja's handler
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return reply_to(TooMuch(f"The body is larger than {limit} bytes"), request.path)


@api.exception_handler(Exception)
def unforeseen(request: HttpRequest, error: Exception) -> HttpResponse:
    """Its text is logged only."""
    logger.error("%s %s", request.method, request.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_reply(status, status.phrase)
