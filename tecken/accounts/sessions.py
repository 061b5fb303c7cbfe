"""Sessions of pages for people: the user of a session cookie, and the middleware that only pages need."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from typing import Any
from urllib.parse import urlsplit

from axes.middleware import AxesMiddleware
from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.middleware import AuthenticationMiddleware
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages.middleware import MessageMiddleware
from django.contrib.sessions.backends.cache import SessionStore
from django.contrib.sessions.middleware import SessionMiddleware
from django.core.cache import caches
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from tecken.accounts.staff import staff_cookie_middleware
from tecken.errors import Forbidden, Unavailable
from tecken.redisclient import services as redis_services

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


class StrictSessionStore(SessionStore):
    """Sessions in the cache, whose outage is an error."""

    def load(self) -> dict[str, Any]:
        """Return the data of the session.

        Django's own method reports an outage of the cache as an unknown session, which would log everybody
        out.
        """
        data: dict[str, Any] | None = caches[settings.SESSION_CACHE_ALIAS].get(self.cache_key)
        if data is None:
            self._session_key = None
        return data or {}


def session_user(request: HttpRequest) -> User | None:
    """Return the active user of the session cookie; None without one.

    Raises:
        Forbidden: A page of another site made the browser send the request.
        Unavailable: redis-cache does not answer.
    """
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    if request.method not in SAFE and _is_cross_site(request):
        raise Forbidden("A page of another site needs an Auth-Token")
    request.session = StrictSessionStore(key)
    try:
        user = redis_services.cache_guard().call(get_user, request)
    except Unavailable:
        raise Unavailable("Sessions cannot be read") from None
    return None if isinstance(user, AnonymousUser) or not user.is_active else user


def _is_cross_site(request: HttpRequest) -> bool:
    # Every browser sends one of these headers. A form token would be in the body, which is not read yet. A
    # program that sends neither has a cookie only if its user has given it one.
    fetch = request.headers.get("Sec-Fetch-Site")
    if fetch is not None:
        return fetch not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.get_host()


Handler = Callable[[HttpRequest], HttpResponseBase]

PAGES = frozenset({"/", "/health/", "/jobs/", "/missing/", "/store/", "/symbolicate/", "/tokens/"})
BELOW = (
    *("/admin/", "/config/", "/explain/", "/files/", "/help/", "/jobs/", "/login/", "/logout/", "/oidc/"),
    *("/shared/", "/static/", "/tokens/", "/uploads/"),
)
# A layer uses what those around it have set: authentication reads the session, and the cookie of staff
# depends on the user.
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
