"""Whose session a request's cookie belongs to."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.sessions.backends.cache import SessionStore
from django.core.cache import caches
from django.http import HttpRequest

from tecken.errors import CouldNotAsk, NotAllowed
from tecken.redisclient import services as redis_services

SAFE = ("GET", "HEAD", "OPTIONS", "TRACE")


class StrictSessionStore(SessionStore):
    def load(self) -> dict[str, Any]:
        """Django's own takes a cache that does not answer for one that has no such session."""
        data: dict[str, Any] | None = caches[settings.SESSION_CACHE_ALIAS].get(self.cache_key)
        if data is None:
            self._session_key = None
        return data or {}


def session_user(request: HttpRequest) -> User | None:
    """Raises NotAllowed when another site's page made the browser ask, CouldNotAsk when sessions are away."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    if not key:
        return None
    if request.method not in SAFE and _another_site(request):
        raise NotAllowed("A page of another site needs an Auth-Token")
    request.session = StrictSessionStore(key)
    try:
        user = redis_services.cache_guard().call(get_user, request)
    except CouldNotAsk:
        raise CouldNotAsk("Sessions cannot be read") from None
    return None if isinstance(user, AnonymousUser) or not user.is_active else user


def _another_site(request: HttpRequest) -> bool:
    """What every browser tells of itself. A form token would be in the body, which is not read yet; and a
    program that sends neither header has no cookie that it was not given."""
    fetch = request.headers.get("Sec-Fetch-Site")
    if fetch is not None:
        return fetch not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.get_host()
