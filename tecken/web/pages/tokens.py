"""Page of the user's own API tokens: create, extend, revoke and delete them."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple

from django.contrib import messages
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    DAYS,
    MANAGE,
    MAX_DAYS,
    MAX_NOTES,
    MAX_OVERLAP_DAYS,
    OVERLAP_DAYS,
    TOKEN_PERMISSIONS,
    check_reach,
    extend,
    find_permissions,
    issue,
    permission_name,
    revoke,
    rotate,
    select_permissions,
    token_of,
    tokens_of,
)
from tecken.errors import Forbidden, InvalidInput
from tecken.upload.protocols.direct import UPLOADERS
from tecken.web.auth import Group, SitePage, need, page
from tecken.web.lists import Paging, load_page
from tecken.web.pages.config import user_of

# The page highlights tokens that expire within this time.
EXPIRES_SOON = timedelta(days=14)


class ListedToken(NamedTuple):
    """Token in the list. `state` is `expired`, `soon` or ""."""

    token: Token
    permissions: list[str]
    state: str


class PermissionChoice(NamedTuple):
    """Permission that a new token may carry."""

    name: str
    permission: Permission
    chosen: bool


@page()
@require_http_methods(["GET", "HEAD", "POST"])
def show_tokens(request: HttpRequest) -> HttpResponse:
    """Show the user's tokens, or create one. `?after=` names the page that follows."""
    if request.method != "POST":
        return _render_list(request)
    user = user_of(request)
    need(user, MANAGE)
    try:
        token, key = issue(user, _read_permissions(request), read_days(request), read_notes(request))
    except Forbidden:
        # Forbidden is also an InvalidInput. Its page has the status 403, and not the form.
        raise
    except InvalidInput as error:
        return _render_list(request, HTTPStatus.BAD_REQUEST, problem=str(error))
    # The key is shown in this response only: a redirect would need a place where it is stored.
    return _render_list(request, HTTPStatus.CREATED, token=token, key=key)


@page(MANAGE)
@require_POST
def change_token(request: HttpRequest, number: int) -> HttpResponse:
    """Extend, rotate, revoke or delete one of the user's tokens."""
    token = token_of(user_of(request), number)
    match request.POST.get("do"):
        case "rotate":
            return _rotate(request, token)
        case "extend":
            extend(token, read_days(request))
            messages.success(request, f"Token {token} can be used until {token.expires_at:%Y-%m-%d}.")
        case "revoke":
            revoke(token)
            messages.success(request, f"Token {token} is revoked: it cannot be used from now on.")
        case "delete":
            token.delete()
            messages.success(request, f"Token {token} is deleted.")
        case _:
            raise InvalidInput("do: should be extend, rotate, revoke or delete")
    return redirect("tokens")


def _read_permissions(request: HttpRequest) -> list[Permission]:
    names = request.POST.getlist("permission")
    if not names:
        raise InvalidInput("Choose at least one permission for the token")
    return select_permissions(names, user_of(request).get_all_permissions())


def _rotate(request: HttpRequest, token: Token) -> HttpResponse:
    check_reach(token, user_of(request).get_all_permissions())
    overlap = read_number(request.POST.get("overlap", ""), 0, MAX_OVERLAP_DAYS, "The overlap in days")
    successor, key = rotate(token, overlap)
    return _render_list(request, HTTPStatus.CREATED, token=successor, key=key, rotated=token)


def read_days(request: HttpRequest) -> int:
    """Return the lifetime in a form. Raises InvalidInput."""
    return read_number(request.POST.get("days", ""), 1, MAX_DAYS, "Days")


def read_number(text: str, least: int, most: int, name: str) -> int:
    """Return a whole number of a form. Raises InvalidInput."""
    text = text.strip()
    # int() alone accepts signs, other scripts' digits, and texts so long that parsing them takes seconds.
    if text.isascii() and text.isdigit() and len(text) <= len(str(most)) and least <= int(text) <= most:
        return int(text)
    raise InvalidInput(f"{name} should be a whole number from {least} to {most}")


def read_notes(request: HttpRequest, field: str = "notes") -> str:
    """Return the notes of a form. Raises InvalidInput."""
    notes = request.POST.get(field, "").strip()
    if len(notes) > MAX_NOTES:
        raise InvalidInput(f"Notes have at most {MAX_NOTES} characters")
    return notes


def _render_list(request: HttpRequest, status: HTTPStatus = HTTPStatus.OK, **extra: object) -> HttpResponse:
    # After a token was created its form is empty again; after an error it has what the user sent.
    user, sent = user_of(request), QueryDict() if "key" in extra else request.POST
    tokens = tokens_of(user).select_related("rotated_to").prefetch_related("permissions__content_type")
    listed = load_page(tokens, Paging.model_validate({"after": request.GET.get("after")}), ["created_at"])
    context = {
        "rows": [_listed_token(token) for token in listed.rows],
        "next": listed.next,
        "after": request.GET.get("after"),
        "may_manage": user.has_perm(MANAGE),
        "choices": _permission_choices(user, sent.getlist("permission")),
        "days": sent.get("days", DAYS),
        "notes": sent.get("notes", ""),
        "most_days": MAX_DAYS,
        "most_notes": MAX_NOTES,
        "may_add_to_ci": user.has_perm(MANAGE) and any(map(user.has_perm, UPLOADERS)),
        "ci": {"days": DAYS, "may_choose": all(map(user.has_perm, UPLOADERS))},
        "overlap_days": OVERLAP_DAYS,
        "most_overlap": MAX_OVERLAP_DAYS,
        **extra,
    }
    return render(request, "tokens/page.html", context, status=status)


def _listed_token(token: Token) -> ListedToken:
    soon = token.expires_at < timezone.now() + EXPIRES_SOON
    state = "expired" if token.is_expired else "soon" if soon else ""
    return ListedToken(token, sorted(map(permission_name, token.permissions.all())), state)


def _permission_choices(user: User, chosen: list[str]) -> list[PermissionChoice]:
    allowed = find_permissions(sorted(user.get_all_permissions() & set(TOKEN_PERMISSIONS))).order_by("name")
    return [
        PermissionChoice(permission_name(permission), permission, permission_name(permission) in chosen)
        for permission in allowed
    ]


PAGE = SitePage(
    title="Tokens",
    about="Manage the API tokens of your programs.",
    group=Group.BUILDS,
    urls=[
        path("tokens/", show_tokens, name="tokens"),
        path("tokens/<int:number>/", change_token, name="token"),
    ],
    needs_login=True,
)
