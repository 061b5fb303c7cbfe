"""What only pages for people need: sessions, the user, messages, locked-out logins, staff, static files.

Symbolication and downloads are asked thousands of times a second and need none of it. A view that asks for a
permission opens the session itself (`tecken.http.decorators.permitted`); the admin's views check forms themselves.
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

from tecken.accounts.staff import remembers_staff

Handler = Callable[[HttpRequest], HttpResponseBase]

PAGES = frozenset({"/", "/health/", "/jobs/", "/missing/", "/store/", "/symbolicate/", "/tokens/"})
BELOW = (
    *("/admin/", "/config/", "/explain/", "/files/", "/help/", "/jobs/", "/login/", "/logout/", "/oidc/"),
    *("/shared/", "/static/", "/tokens/", "/uploads/"),
)
INNERMOST_FIRST: tuple[Callable[[Any], Any], ...] = (
    AxesMiddleware,
    MessageMiddleware,
    remembers_staff,
    AuthenticationMiddleware,
    SessionMiddleware,
    WhiteNoiseMiddleware,
)


def for_people(get_response: Handler) -> Handler:
    with_all = reduce(lambda inner, layer: layer(inner), INNERMOST_FIRST, get_response)

    def answer(request: HttpRequest) -> HttpResponseBase:
        path = request.path_info
        return with_all(request) if path in PAGES or path.startswith(BELOW) else get_response(request)

    return answer
