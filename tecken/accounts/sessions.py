"""Sessions of pages for people: the user of a session cookie."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from django.http import HttpRequest

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
