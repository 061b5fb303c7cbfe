"""Middleware of pages for people: sessions, the user, messages, locked-out logins, staff, static files.

Symbolication and downloads get thousands of requests per second and use none of it, so their requests skip
these layers. A view that requires a permission opens the session itself (`tecken.http.decorators.permitted`),
and the views of the admin check their forms themselves.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any

from axes.middleware import AxesMiddleware
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.middleware import SessionMiddleware
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from tecken.accounts.staff import staff_cookie_middleware

Handler = Callable[[HttpRequest], HttpResponseBase]

PAGES = frozenset({"/", "/health/", "/jobs/", "/missing/", "/store/", "/symbolicate/", "/tokens/"})
BELOW = (
    *("/admin/", "/config/", "/explain/", "/files/", "/help/", "/jobs/", "/login/", "/logout/", "/oidc/"),
    *("/shared/", "/static/", "/tokens/", "/uploads/"),
)
INNERMOST_FIRST: tuple[Callable[[Any], Any], ...] = (
    AxesMiddleware,
    MessageMiddleware,
    staff_cookie_middleware,
    AuthenticationMiddleware,
    SessionMiddleware,
    WhiteNoiseMiddleware,
)


def people_middleware(get_response: Handler) -> Handler:
    """Wrap requests for pages in all layers, and pass other requests on."""
    get_page = reduce(lambda inner, layer: layer(inner), INNERMOST_FIRST, get_response)

    def respond(request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        return get_page(request) if path in PAGES or path.startswith(BELOW) else get_response(request)

    return respond
