"""A signed cookie that says "staff", for the door of a site under maintenance: it is read without a back end.

It opens that door and nothing else: what its bearer may do there, session and permissions say as ever.
"""

from __future__ import annotations

from collections.abc import Callable

from django.conf import settings
from django.core import signing
from django.http import HttpRequest
from django.http.response import HttpResponseBase

COOKIE = "staff"
SALT = "tecken.accounts.staff"
SECONDS = 12 * 3600  # each visit to a page for people begins them anew

Handler = Callable[[HttpRequest], HttpResponseBase]


def is_staff(request: HttpRequest) -> bool:
    """Whether the cookie is ours and fresh. Neither session nor database is asked."""
    value = request.COOKIES.get(COOKIE)
    if not value:
        return False
    try:
        signing.loads(value, salt=SALT, max_age=SECONDS)
    except signing.BadSignature:
        return False
    return True


def remembers_staff(get_response: Handler) -> Handler:
    """Stands inside sessions and authentication: staff are given the cookie, all others lose it."""

    def answer(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if request.session.accessed:  # else nobody had to know who asks
            _give_or_take(request, response)
        return response

    return answer


def _give_or_take(request: HttpRequest, response: HttpResponseBase) -> None:
    if request.user.is_active and request.user.is_staff:
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
