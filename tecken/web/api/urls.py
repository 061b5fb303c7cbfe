from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.views.generic import RedirectView

from tecken.http.decorators import cors
from tecken.http.ratelimit import limited
from tecken.http.responses import error_reply
from tecken.web.api.site import api

PUBLIC = ("syminfo",)
patterns, application, namespace = api.urls


def _in_json(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """A method that the URL does not have is told as our other errors are."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        reply = view(request, *args, **kwargs)
        if reply.status_code != HTTPStatus.METHOD_NOT_ALLOWED:
            return reply
        methods = sorted(reply["Allow"].split(", "))
        told = error_reply(reply.status_code, f"Must use HTTP {' or '.join(methods)}")
        told["Allow"] = ", ".join(methods)
        return told

    return inner


def _head_as_get(view: Callable[..., HttpResponse]) -> Callable[..., HttpResponse]:
    """Return the view with HEAD, which the web server answers without the body of GET.

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


def _entrance(name: str | None, view: Callable[..., HttpResponse]) -> Callable[..., HttpResponseBase]:
    if name == "api-root":
        return RedirectView.as_view(url="/api/docs")
    counted = limited("api")(_in_json(_head_as_get(view)))
    return cors("GET, OPTIONS")(counted) if name in PUBLIC else counted


for pattern in patterns:
    assert isinstance(pattern, URLPattern)
    pattern.callback = _entrance(pattern.name, pattern.callback)

urlpatterns = [path("api/", (patterns, application, namespace))]
