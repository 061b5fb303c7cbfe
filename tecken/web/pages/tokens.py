"""One's own API tokens: to make, to see, to extend, to revoke, to delete."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import NamedTuple

from django.contrib import messages
from django.contrib.auth.models import Permission, User
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect, render
from django.utils import timezone
from django.views.decorators.http import require_http_methods, require_POST

from tecken.accounts.groups import named
from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    DAYS,
    GIVEN,
    MANAGE,
    MOST_DAYS,
    MOST_NOTES,
    carried,
    extend,
    issue,
    revoke,
    spelt,
    token_of,
    tokens_of,
)
from tecken.errors import BadInput, NotAllowed
from tecken.web.api.paging import Paging, page_of
from tecken.web.auth import need, page
from tecken.web.pages.config import user_of

PLACE = {"section": "tokens"}
SOON = timedelta(days=14)


class Row(NamedTuple):
    token: Token
    permissions: list[str]
    state: str
    """`expired`, `soon` or ''."""


class Choice(NamedTuple):
    name: str
    permission: Permission
    chosen: bool


@page()
@require_http_methods(["GET", "HEAD", "POST"])
def tokens(request: HttpRequest) -> HttpResponse:
    """`?after=` is the page that follows."""
    if request.method != "POST":
        return _page(request)
    user = user_of(request)
    need(user, MANAGE)
    try:
        token, key = issue(user, _permissions(request), _days(request), _notes(request))
    except NotAllowed:
        raise
    except BadInput as error:
        return _page(request, HTTPStatus.BAD_REQUEST, problem=str(error))
    return _page(request, HTTPStatus.CREATED, token=token, key=key)


@page(MANAGE)
@require_POST
def token(request: HttpRequest, number: int) -> HttpResponse:
    """What is done with one of them."""
    one = token_of(user_of(request), number)
    match request.POST.get("do"):
        case "extend":
            extend(one, _days(request))
            messages.success(request, f"Token {one} can be used until {one.expires_at:%Y-%m-%d}.")
        case "revoke":
            revoke(one)
            messages.success(request, f"Token {one} is revoked: it cannot be used from now on.")
        case "delete":
            one.delete()
            messages.success(request, f"Token {one} is deleted.")
        case _:
            raise BadInput("do: should be extend, revoke or delete")
    return redirect("tokens")


def _permissions(request: HttpRequest) -> list[Permission]:
    names = request.POST.getlist("permission")
    if not names:
        raise BadInput("Choose what the token may do")
    return carried(names, user_of(request).get_all_permissions())


def _days(request: HttpRequest) -> int:
    text = request.POST.get("days", "").strip()
    days = int(text) if text.isascii() and text.isdigit() and len(text) <= len(str(MOST_DAYS)) else 0
    if not 1 <= days <= MOST_DAYS:
        raise BadInput(f"Days should be a whole number from 1 to {MOST_DAYS}")
    return days


def _notes(request: HttpRequest) -> str:
    notes = request.POST.get("notes", "").strip()
    if len(notes) > MOST_NOTES:
        raise BadInput(f"Notes have at most {MOST_NOTES} characters")
    return notes


def _page(request: HttpRequest, status: HTTPStatus = HTTPStatus.OK, **more: object) -> HttpResponse:
    user, sent = user_of(request), QueryDict() if "key" in more else request.POST
    mine = tokens_of(user).prefetch_related("permissions__content_type")
    found = page_of(mine, Paging.model_validate({"after": request.GET.get("after")}), ["created_at"])
    context = {
        **PLACE,
        "rows": [_row(one) for one in found.rows],
        "next": found.next,
        "after": request.GET.get("after"),
        "may_manage": user.has_perm(MANAGE),
        "choices": _choices(user, sent.getlist("permission")),
        "days": sent.get("days", DAYS),
        "notes": sent.get("notes", ""),
        "most_days": MOST_DAYS,
        "most_notes": MOST_NOTES,
        **more,
    }
    return render(request, "tokens/page.html", context, status=status)


def _row(token: Token) -> Row:
    soon = token.expires_at < timezone.now() + SOON
    state = "expired" if token.is_expired else "soon" if soon else ""
    return Row(token, sorted(map(spelt, token.permissions.all())), state)


def _choices(user: User, chosen: list[str]) -> list[Choice]:
    """What a token of theirs may carry."""
    may = user.get_all_permissions() & set(GIVEN)
    return [Choice(spelt(one), one, spelt(one) in chosen) for one in named(sorted(may)).order_by("name")]
