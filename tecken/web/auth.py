"""Guards of page views, and the registration of pages.

Guards are log-in, permissions, form tokens, and errors as pages. A registration has the addresses, menu
entry, permissions and state under maintenance of a page.

Each module below `tecken.web.pages` declares its page once, as a `SitePage`, below its views. All pages are
collected in `tecken.web.urls`. The URL table, the menu, the cards of the home page, the addresses that stay
open under maintenance and the tests of every page are derived from that collection.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import wraps
from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.auth.views import redirect_to_login
from django.db import DatabaseError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.urls import URLPattern
from django.utils.cache import add_never_cache_headers
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect, requires_csrf_token

from tecken.accounts.sessions import SAFE, StrictSessionStore, is_cross_site, session_user
from tecken.errors import Forbidden, TeckenError, Unavailable, hide_places
from tecken.http.responses import reply_to

logger = logging.getLogger(__name__)
View = Callable[..., HttpResponse]

# Django's attribute of a request that needs no form token.
CSRF_EXEMPT = "_dont_enforce_csrf_checks"
PROGRAM_PATHS = ("/api/", "/symbolicate/text", "/symbolicate/v", "/upload/")
FORGED = (
    "This form is too old, or came from another site. Nothing was changed. Go back, reload and try again."
)
SESSION_OVER = (
    "Your session has ended, and nothing was changed. Log in, return to the form and send it again."
)


def page(*permissions: str) -> Callable[[View], View]:
    """Guard a view for logged-in users who have one of these permissions.

    The view finds the user as `request.user`. Without permissions each logged-in user is admitted.
    """

    def guard(view: View) -> View:
        # `never_cache` surrounds `render_errors`, so that no cache keeps an error page either.
        @wraps(view)
        @never_cache
        @render_errors
        @csrf_protect
        def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
            user = session_user(request)
            if user is None:
                return _redirect_to_login(request)
            request.user = user
            if permissions:
                need(user, *permissions)
            return view(request, *args, **kwargs)

        return inner

    return guard


def accept_streamed_form(view: View) -> View:
    """Let a view of a page read the body of its form itself, after the sender is known.

    The form token is part of the body, so it cannot be checked before the view has read the body. The origin
    of the request is checked instead: each browser sends `Origin` or `Sec-Fetch-Site` with a form.
    """

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        if request.method not in SAFE and not getattr(request, CSRF_EXEMPT, False):
            if not {"Origin", "Sec-Fetch-Site"} & set(request.headers) or is_cross_site(request):
                return reject_forgery(request)
            setattr(request, CSRF_EXEMPT, True)
        return view(request, *args, **kwargs)

    return inner


def open_page(view: View) -> View:
    """Guard a view for everyone. `request.user` is anonymous while the session cannot be read."""

    @wraps(view)
    @never_cache
    @render_errors
    @csrf_protect
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        recognise(request)
        return view(request, *args, **kwargs)

    return inner


def recognise(request: HttpRequest) -> None:
    """Set `request.user` from the session, on any path.

    Raises:
        Forbidden: The request comes from another site.
    """
    try:
        request.user = session_user(request) or AnonymousUser()
    except (Unavailable, DatabaseError):
        set_anonymous(request)


def set_anonymous(request: HttpRequest) -> None:
    """Make the user of a request anonymous, without a read of the session.

    The session store may be the part that has failed: an error page that tried to read it would fail as well.
    """
    key = request.COOKIES.get(settings.SESSION_COOKIE_NAME)
    request.user, request.session = AnonymousUser(), StrictSessionStore(key)


def need(user: User | AnonymousUser, *permissions: str) -> None:
    """Raise Forbidden unless the user has one of these permissions."""
    if not any(map(user.has_perm, permissions)):
        raise Forbidden(f"This needs the permission {' or '.join(permissions)}")


def is_from_program(request: HttpRequest) -> bool:
    """Return whether a response should be JSON: browsers accept HTML and use other paths."""
    accepted = request.META.get("HTTP_ACCEPT", "")
    return "text/html" not in accepted or request.path_info.startswith(PROGRAM_PATHS)


def render_errors(view: View) -> View:
    """Turn the errors that a view raises into pages, with the status they have everywhere."""

    @wraps(view)
    def inner(request: HttpRequest, *args: object, **kwargs: object) -> HttpResponse:
        try:
            return view(request, *args, **kwargs)
        except TeckenError as error:
            return _render_error(request, error)
        except DatabaseError:
            logger.exception("%s %s failed: database error", request.method, request.path)
            return _render_error(request, Unavailable("The database does not answer"))

    return inner


def _render_error(request: HttpRequest, error: TeckenError) -> HttpResponse:
    # A user that is loaded when it is first used would read the session, which may be the part that failed.
    if type(request.user) is not User:
        set_anonymous(request)
    plain = reply_to(error, request.path)
    status = HTTPStatus(plain.status_code)
    text = status.phrase if status == HTTPStatus.INTERNAL_SERVER_ERROR else hide_places(str(error))
    wait = plain.get("Retry-After")
    response = render_problem(request, status, text, wait=int(wait) if wait else None)
    if wait:
        response["Retry-After"] = wait
    return response


# The page has a form to log out, so it needs a form token even where Django's middleware sets none.
@requires_csrf_token
def render_problem(request: HttpRequest, status: HTTPStatus, text: str, **context: object) -> HttpResponse:
    """Return the page of an error.

    Args:
        request: Request that failed.
        status: Status of the response; its phrase is the title.
        text: Explanation for the reader.
        context: `login`: address to log in; `wait`: seconds until another attempt can succeed;
            `request_id`: identifier of the request in the log; `explain`: address of an explanation.
    """
    values = {"status": int(status), "title": status.phrase, "text": text, **context}
    response = render(request, "problem.html", values, status=status)
    add_never_cache_headers(response)
    return response


def reject_forgery(request: HttpRequest, reason: str = "") -> HttpResponse:  # noqa: ARG001 - CSRF_FAILURE_VIEW
    """Return the page for a form without a valid token; also called by Django."""
    return render_problem(request, HTTPStatus.FORBIDDEN, FORGED)


def _redirect_to_login(request: HttpRequest) -> HttpResponse:
    # A redirect would lose the content of a form, so its sender keeps the page and logs in beside it.
    if request.method in SAFE:
        return redirect_to_login(request.get_full_path(), settings.LOGIN_URL)
    return render_problem(request, HTTPStatus.FORBIDDEN, SESSION_OVER, login=settings.LOGIN_URL)


# Registration

VIEW_UPLOADS = ("upload.upload_symbols", "upload.upload_try_symbols", "upload.view_all_uploads")
OPERATE = ("runtimeconfig.view_option", "runtimeconfig.change_option")


class Group(StrEnum):
    """Group of pages in the menu; its value is the title. Pages of ALONE are links beside the groups."""

    ALONE = ""
    SYMBOLS = "Symbols"
    BUILDS = "Builds"
    OPERATION = "Operation"
    HELP = "Help"


@dataclass(frozen=True)
class SitePage:
    """Page of the site.

    The first of `urls` is the address in the menu. `about` is the text of the page's card on the home page.
    `group` is the part of the menu that has the page.
    A page that is `part_of` another has no entry in the menu; the other's entry stands for it.
    `permissions` and `needs_login` decide who finds the page in the menu: any one of the permissions is
    enough. They protect nothing; the guards of the views do (`tecken.web.auth`). A page that
    `is_open_under_maintenance` stays open with everything below its address.
    """

    title: str
    urls: Sequence[URLPattern]
    about: str = ""
    group: Group = Group.ALONE
    part_of: SitePage | None = None
    permissions: tuple[str, ...] = ()
    needs_login: bool = False
    is_in_menu: bool = True
    is_open_under_maintenance: bool = False

    @property
    def path(self) -> str:
        """Path of the page, with slashes at both ends where the address has them."""
        return f"/{self.urls[0].pattern}"

    def has_url(self, name: str | None) -> bool:
        """Return whether one of the page's addresses has this name."""
        return name is not None and any(url.name == name for url in self.urls)

    def is_offered_to(self, user: User | AnonymousUser) -> bool:
        """Return whether the menu of this user has the page."""
        if self.part_of or not self.is_in_menu or (self.needs_login and not user.is_authenticated):
            return False
        return not self.permissions or any(map(user.has_perm, self.permissions))
