"""What stands at the door of a page: login, permission, errors in our style."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils.cache import add_never_cache_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect, requires_csrf_token

from tecken.accounts.sessions import SAFE, StrictSessionStore, session_user
from tecken.errors import CouldNotAsk, NotAllowed, TeckenError
from tecken.http.responses import reply_to

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponse]

UNASKED = "_dont_enforce_csrf_checks"  # Django's name for a request that needs no form token
FORGED = "This form is old, or came from another site. Nothing was changed: go back, reload and try again."
SESSION_OVER = "Your session is over, and nothing was changed. Log in, go back to the form and send it again."


def page(*permissions: str) -> Callable[[View], View]:
    """For people who have one of these; the view finds them as `request.user`."""

    def guard(view: View) -> View:
        @wraps(view)
        @never_cache
        @told
        @csrf_protect
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            user = session_user(request)
            if user is None:
                return _to_login(request)
            request.user = user
            if permissions:
                need(user, *permissions)
            return view(request, *args, **kwargs)

        return inner

    return guard


def streams(view: View) -> View:
    """Around `page`, for a form whose body the view reads itself, after it is known who sends it.

    No form token can be found in it before. Every browser tells with a form which site it is from, and
    `session_user` hears it.
    """

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method not in SAFE and not getattr(request, UNASKED, False):
            if not {"Origin", "Sec-Fetch-Site"} & set(request.headers):
                return forged(request)
            setattr(request, UNASKED, True)
        return view(request, *args, **kwargs)

    return inner


def open_page(view: View) -> View:
    """For everybody; `request.user` is whoever is logged in, and nobody while that cannot be asked."""

    @wraps(view)
    @never_cache
    @told
    @csrf_protect
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        recognise(request)
        return view(request, *args, **kwargs)

    return inner


def recognise(request: HttpRequest) -> None:
    """Sets `request.user`, on any path. Raises NotAllowed as session_user does."""
    try:
        request.user = session_user(request) or AnonymousUser()
    except (CouldNotAsk, DatabaseError):
        nobody(request)


def nobody(request: HttpRequest) -> None:
    """Who it is may be what cannot be asked, so nothing is asked again."""
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    request.user, request.session = AnonymousUser(), StrictSessionStore(key)


def need(user: User | AnonymousUser, *permissions: str) -> None:
    """One of these. Raises NotAllowed."""
    if not any(map(user.has_perm, permissions)):
        raise NotAllowed(f"This needs the permission {' or '.join(permissions)}")


def told(view: View) -> View:
    """Our errors as pages, with the status they have everywhere."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except TeckenError as error:
            return _problem(request, error)
        except DatabaseError:
            logger.exception("%s %s", request.method, request.path)
            return _problem(request, CouldNotAsk("The database does not answer"))

    return inner


def _problem(request: HttpRequest, error: TeckenError) -> HttpResponse:
    if type(request.user) is not User:
        nobody(request)
    plain = reply_to(error, request.path)
    status = HTTPStatus(plain.status_code)
    text = status.phrase if status == HTTPStatus.INTERNAL_SERVER_ERROR else str(error)
    wait = plain.get("Retry-After")
    reply = problem(request, status, text, wait=int(wait) if wait else None)
    if wait:
        reply["Retry-After"] = wait
    return reply


@requires_csrf_token  # for its form to log out
def problem(request: HttpRequest, status: HTTPStatus, text: str, **more: object) -> HttpResponse:
    """`login`: where; `wait`: seconds; `request_id`: what the log calls the request."""
    told = {"status": int(status), "title": status.phrase, "text": text, **more}
    reply = render(request, "problem.html", told, status=status)
    add_never_cache_headers(reply)
    return reply


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - Django's CSRF_FAILURE_VIEW
    text = (
        "This form is too old, or came from another site. Nothing was changed. Go back, reload and try again."
    )
    return problem(request, HTTPStatus.FORBIDDEN, text)


def _to_login(request: HttpRequest) -> HttpResponse:
    """A form that was sent would be lost on the way there and back."""
    if request.method in SAFE:
        return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
    return problem(request, HTTPStatus.FORBIDDEN, SESSION_OVER, login=settings.LOGIN_URL)
