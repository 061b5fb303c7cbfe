"""Home page: introduction, state of the site, the user's uploads and tokens, links to all pages."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

import redis
from django.contrib.auth.models import AnonymousUser, User
from django.db import DatabaseError
from django.db.models import Count, Min
from django.http import HttpRequest
from django.http.response import HttpResponse, HttpResponseBase
from django.shortcuts import render
from django.urls import path
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers

from tecken.accounts.models import Token
from tecken.monitoring.health.status import Document, health
from tecken.runtimeconfig import current
from tecken.symbolication.api import views
from tecken.upload.models import Upload
from tecken.web.auth import is_from_program, open_page
from tecken.web.charts.activity import load_activity
from tecken.web.pages.health import headline
from tecken.web.pages.help import site_address
from tecken.web.pages.home_example import find_example
from tecken.web.pages.uploads import state_of
from tecken.web.registration import VIEW_UPLOADS, SitePage

LATEST_UPLOADS = 5
PARTS = {
    "redis": "redis-cache",
    "queue": "Queue",
    "store": "redis-store",
    "database": "Database",
    "storage": "Storage",
    "disk": "Disk",
    "worker": "Workers",
    "beat": "Beat",
}
STATUS_TEXTS = {
    "connected": "works",
    "alive": "running",
    "free": "has room",
    "full": "full",
    "starting": "starting",
    "paused": "paused",
    "stalled": "stalled",
    "disconnected": "does not answer",
    "missing": "none running",
    "unknown": "not known",
}
GOOD_STATUSES = ("connected", "alive", "free", "starting", "paused")


class PartState(NamedTuple):
    """State of one part of the site, such as redis-store."""

    name: str
    is_good: bool
    text: str


class Account(NamedTuple):
    """Latest uploads of a user with their states, number of tokens, and the first expiry of a token."""

    uploads: list[tuple[Upload, str]]
    tokens: int
    expires: datetime | None


@vary_on_headers("Accept")
def show_root(request: HttpRequest) -> HttpResponseBase:
    """Show the home page to browsers.

    Other clients get the response that `/` had before there was a page: it was once the address of
    symbolication.
    """
    if request.method in ("GET", "HEAD") and not is_from_program(request):
        return show_home(request)
    return views.root(request)


@open_page
def show_home(request: HttpRequest) -> HttpResponse:
    """Show the home page."""
    user = request.user if isinstance(request.user, User) else AnonymousUser()
    # Each part has its own failure: the page appears without the database and without Redis.
    context = {
        "site": site_address(request),
        "example": find_example(user),
        **_site_state(),
        **_activity(),
        **_account(user),
    }
    return render(request, "home/page.html", context)


def _site_state() -> dict[str, object]:
    document, _status = health()
    return {
        "status": document["status"],
        "headline": headline(document),
        "closed": current.maintenance(),
        "uploads_closed": current.uploads_closed(),
        "parts": [_part_state(document[key], name) for key, name in PARTS.items()],
    }


def _part_state(document: Document, name: str) -> PartState:
    status = document["status"]
    number = f"{document['workers']} " if document.get("workers") and status == "alive" else ""
    return PartState(name, status in GOOD_STATUSES, number + STATUS_TEXTS[status])


def _activity() -> dict[str, object]:
    try:
        return {"activity": load_activity()}
    except redis.RedisError:
        return {"is_activity_unknown": True}


def _account(user: User | AnonymousUser) -> dict[str, object]:
    if isinstance(user, AnonymousUser):
        return {}
    try:
        return {"account": _load_account(user), "may_upload": any(map(user.has_perm, VIEW_UPLOADS))}
    except DatabaseError:
        return {"is_account_unknown": True}


def _load_account(user: User) -> Account:
    valid = Token.objects.filter(user=user, expires_at__gt=timezone.now())
    totals = valid.aggregate(tokens=Count("pk"), expires=Min("expires_at"))
    latest = Upload.objects.filter(user=user).order_by("-created_at")[:LATEST_UPLOADS]
    return Account([(upload, state_of(upload)) for upload in latest], **totals)


PAGE = SitePage(title="Home", urls=[path("", show_root, name="home")], is_in_menu=False)
