"""Signed cookie of staff, with which they can use the site during maintenance.

It is verified without Redis and the database, which may be down then. It lets its bearer past the maintenance
page and grants nothing else: session and permissions decide as usual.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

COOKIE = "staff"
# Part of the data: a cookie outlives an upgrade.
SALT = "tecken.tokens.staff"
# The period begins again with each page that the user opens.
SECONDS = 12 * 3600

Handler = Callable[[HttpRequest], HttpResponseBase]


def is_staff(request: HttpRequest) -> bool:
    """Return whether the request has a valid cookie. Uses neither the session nor the database."""
    value = request.COOKIES.get(COOKIE)
    if not value:
        return False
    try:
        signing.loads(value, salt=SALT, max_age=SECONDS)
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
            COOKIE,
            signing.dumps(request.user.pk, salt=SALT),
            max_age=SECONDS,
            secure=settings.SECURE_COOKIES,
            httponly=True,
            samesite="Lax",
        )
    elif COOKIE in request.COOKIES:
        response.delete_cookie(COOKIE, samesite="Lax")
