"""URL table of the API: django-ninja's, with rate limits, HEAD, and JSON for a wrong method."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.generic import RedirectView

from tecken.http.decorators import cors
from tecken.http.ratelimit import rate_limited
from tecken.http.responses import error_reply
from tecken.web.api.site import api

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
