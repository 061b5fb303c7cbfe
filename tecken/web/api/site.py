"""Assembly of the API: its routers, its errors as JSON, and its URL table.

The URL table is django-ninja's, with rate limits, HEAD, and JSON for a wrong method.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus
from typing import Any

from django.conf import settings
from django.core.exceptions import RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.decorators.vary import vary_on_headers
from django.views.generic import RedirectView
from ninja.errors import HttpError, ValidationError
from ninja.parser import Parser

from tecken.errors import TeckenError, TooLarge
from tecken.http.decorators import cors
from tecken.http.ratelimit import rate_limited
from tecken.http.responses import error_reply, not_found, reply_to
from tecken.web.api import config, doctor, fetched, redis, symbols, tokens, uploads, usage
from tecken.web.api.openapi import DescribedAPI

logger = logging.getLogger(__name__)


class ObjectParser(Parser):
    """Parser of bodies that are JSON objects, which all our operations have.

    From a text or a list django-ninja would read no field, and continue with the default of each.
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
    # tecken.web.pages.api_docs has the page.
    docs_url=None,
    parser=ObjectParser(),
)
# A cache between client and site must not give the response of one caller to another.
api.add_decorator(vary_on_headers("Auth-Token", "Cookie"), mode="view")
for prefix, router in {
    "tokens/": tokens.router,
    "uploads/": uploads.router,
    "uploads/files/": uploads.files_router,
    "fetched/": fetched.router,
    "downloads/missing/": symbols.missing_router,
    "stats/": usage.stats_router,
    "config/": config.router,
    "redis/": redis.router,
    "doctor/": doctor.router,
    "syminfo/": symbols.syminfo_router,
    "usage/": usage.router,
}.items():
    api.add_router(prefix, router)


@api.exception_handler(TeckenError)
def handle_error(request: HttpRequest, error: TeckenError) -> HttpResponse:
    """Return one of our errors."""
    return reply_to(error, request.path)


@api.exception_handler(ValidationError)
def handle_validation_error(request: HttpRequest, error: ValidationError) -> HttpResponse:  # noqa: ARG001 - ninja's handler
    """Return the first invalid value: its place, and the expected form."""
    first = error.errors[0]
    # django-ninja puts the name of the function's parameter before that of the field, which clients do not
    # know.
    names = [
        str(part)
        for part in first["loc"]
        if part not in ("query", "path", "body", "payload", "paging", "filters")
    ]
    return error_reply(HTTPStatus.BAD_REQUEST, f"{'.'.join(names) or 'body'}: {first['msg']}")


@api.exception_handler(HttpError)
def handle_http_error(request: HttpRequest, error: HttpError) -> HttpResponse:  # noqa: ARG001 - ninja's handler
    """Return the error for a body that is not JSON."""
    return error_reply(error.status_code, str(error))


@api.exception_handler(Http404)
def handle_not_found(request: HttpRequest, error: Http404) -> HttpResponse:
    """Return the error for a path that names nothing."""
    return not_found(request, error)


@api.exception_handler(RequestDataTooBig)
def handle_large_body(request: HttpRequest, error: RequestDataTooBig) -> HttpResponse:  # noqa: ARG001 - ninja's
    """Return the error for a body that is too large."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return reply_to(TooLarge(f"The body is larger than {limit} bytes"), request.path)


@api.exception_handler(Exception)
def handle_exception(request: HttpRequest, error: Exception) -> HttpResponse:
    """Return a 500. The text of the exception may have secrets, so it is only logged."""
    logger.error("%s %s failed", request.method, request.path, exc_info=error)
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return error_reply(status, status.phrase)


# URL table

PUBLIC = ("show_syminfo",)
patterns, application, namespace = api.urls


def _convert_405(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view with a JSON error for a method that the URL does not have."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        response = view(request, *args, **kwargs)
        if response.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return response
        methods = sorted(response["Allow"].split(", "))
        error = error_reply(response.status_code, f"Must use HTTP {' or '.join(methods)}")
        error["Allow"] = ", ".join(methods)
        return error

    return inner


def _add_head(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view with HEAD, for which the web server leaves out the body of GET.

    django-ninja runs an operation for its own methods only. HEAD is no operation of its own, because the
    OpenAPI document would list each one twice.
    """

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method != "HEAD":
            return view(request, *args, **kwargs)
        request.method = "GET"
        try:
            return view(request, *args, **kwargs)
        finally:
            request.method = "HEAD"

    return inner


def _wrap(name: str | None, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    """Return the view of an operation with its rate limit, and for public ones with CORS headers."""
    if name == "api-root":
        return RedirectView.as_view(url="/api/docs")
    limited_view = rate_limited("api")(_convert_405(_add_head(view)))
    return cors("GET, OPTIONS")(limited_view) if name in PUBLIC else limited_view


# django-ninja has no decorator that also surrounds the check of the method, so its patterns are changed.
for pattern in patterns:
    assert isinstance(pattern, URLPattern)
    pattern.callback = _wrap(pattern.name, pattern.callback)

urlpatterns = [path("api/", (patterns, application, namespace))]
