"""Log-in of people, with a password: the page, the user of a session cookie, and the signed cookie of staff.

With the staff cookie its bearer can use the site during maintenance. It is verified without Redis and the
database, which may be down then. It lets its bearer past the maintenance page and grants nothing else:
session and permissions decide as usual.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import LoginView
from django.contrib.sessions.backends.cache import SessionStore
from django.core import signing
from django.core.cache import caches
from django.db import DatabaseError
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from tecken.errors import Forbidden, Unavailable
from tecken.redisclient import services as redis_services


class Login(LoginView):
    """Login page. On a site without accounts it shows the command that creates one."""

    template_name = "login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        """Return the context of the template; `is_empty` is True when no account can log in."""
        try:
            is_empty = not is_login_possible()
        except DatabaseError:
            # The form appears during an outage of the database, too; an attempt shows the error.
            is_empty = False
        return super().get_context_data(is_empty=is_empty, **more)


def is_login_possible() -> bool:
    """Return whether an account has a password. Accounts that only own tokens have none."""
    users = User.objects.filter(is_active=True).exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return users.exists()


# Sessions

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
    if request.method not in SAFE and is_cross_site(request):
        raise Forbidden("A page of another site needs an Auth-Token")
    request.session = StrictSessionStore(key)
    try:
        user = redis_services.cache_guard().call(get_user, request)
    except Unavailable:
        raise Unavailable("Sessions cannot be read") from None
    return None if isinstance(user, AnonymousUser) or not user.is_active else user


def is_cross_site(request: HttpRequest) -> bool:
    """Return whether a page of another site made the browser send the request."""
    # Every browser sends one of these headers. A form token would be in the body, which is not read yet. A
    # program that sends neither has a cookie only if its user has given it one.
    fetch = request.headers.get("Sec-Fetch-Site")
    if fetch is not None:
        return fetch not in ("same-origin", "none")
    origin = request.headers.get("Origin")
    return origin is not None and urlsplit(origin).netloc != request.get_host()


# Cookie of staff

STAFF_COOKIE = "staff"
# Part of the data: a cookie outlives an upgrade.
SALT = "tecken.tokens.staff"
# The period begins again with each page that the user opens.
COOKIE_SECONDS = 12 * 3600

Handler = Callable[[HttpRequest], HttpResponseBase]


def is_staff(request: HttpRequest) -> bool:
    """Return whether the request has a valid cookie. Uses neither the session nor the database."""
    value = request.COOKIES.get(STAFF_COOKIE)
    if not value:
        return False
    try:
        signing.loads(value, salt=SALT, max_age=COOKIE_SECONDS)
    except signing.BadSignature:
        return False
    return True


def staff_cookie_middleware(get_response: Handler) -> Handler:
    """Set the cookie for staff, and delete it for others. Runs inside sessions and authentication."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        # Otherwise the view has not used the session, and reading the user would cost a round trip.
        if request.session.accessed:
            _set_or_delete(request, response)
        return response

    return respond


def _set_or_delete(request: HttpRequest, response: HttpResponseBase) -> None:
    if request.user.is_active and request.user.is_staff:
        # No script needs the cookie, and a POST from another site must not carry it.
        response.set_cookie(
            STAFF_COOKIE,
            signing.dumps(request.user.pk, salt=SALT),
            max_age=COOKIE_SECONDS,
            secure=settings.SECURE_COOKIES,
            httponly=True,
            samesite="Lax",
        )
    elif STAFF_COOKIE in request.COOKIES:
        response.delete_cookie(STAFF_COOKIE, samesite="Lax")
