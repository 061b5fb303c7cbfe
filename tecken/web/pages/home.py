"""What this is, how it is, and where to go from here."""

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
from django.utils import timezone
from django.views.decorators.vary import vary_on_headers

from tecken.accounts.models import Token
from tecken.monitoring.health.status import Document, health
from tecken.runtimeconfig import current
from tecken.symbolication.api import views
from tecken.upload.models import Upload
from tecken.web.auth import open_page
from tecken.web.charts.activity import pulse
from tecken.web.menu import VIEW_UPLOADS, menu
from tecken.web.middleware import by_a_program
from tecken.web.pages.health import headline
from tecken.web.pages.help import address_of_site
from tecken.web.pages.home_example import example_for
from tecken.web.pages.uploads import state

LATEST = 5
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
SAYS = {
    "connected": "works",
    "alive": "at work",
    "free": "has room",
    "full": "full",
    "starting": "starting",
    "paused": "paused",
    "stalled": "stalled",
    "disconnected": "does not answer",
    "missing": "not there",
    "unknown": "not known",
}
WELL = ("connected", "alive", "free", "starting", "paused")
ABOUT = {
    "symbolicate": "Paste a crash, read functions, files and lines.",
    "explain": "Why has a module no symbols?",
    "missing": "What was asked for and nobody had.",
    "uploads": "Send symbols, and see what became of them.",
    "files": "Find a symbol file.",
    "tokens": "Keys for your programs.",
    "store": "Memory, hits, and how much would be enough.",
    "jobs": "Queues, workers, and what failed.",
    "config": "Change options while the site runs.",
    "health": "Each part of the site, drawn.",
    "api": "Every operation, for programs.",
    "help": "Upload from CI, point debuggers here.",
}


class Part(NamedTuple):
    name: str
    well: bool
    says: str


class Own(NamedTuple):
    """What somebody has here: the latest uploads, each with its state. `expires`: when a token ends first."""

    uploads: list[tuple[Upload, str]]
    tokens: int
    expires: datetime | None


@vary_on_headers("Accept")
def root(request: HttpRequest) -> HttpResponseBase:
    """A page for people; for programs what it was before there was one."""
    if request.method in ("GET", "HEAD") and not by_a_program(request):
        return page(request)
    return views.root(request)


@open_page
def page(request: HttpRequest) -> HttpResponse:
    told = {
        "section": "home",
        "site": address_of_site(request),
        "example": example_for(user_of(request)),
        "cards": [(entry, ABOUT[entry.section]) for entry in menu(user_of(request))],
        **_state(),
        **_pulse(),
        **_own(user_of(request)),
    }
    return render(request, "home/page.html", told)


def user_of(request: HttpRequest) -> User | AnonymousUser:
    return request.user if isinstance(request.user, User) else AnonymousUser()


def _state() -> dict[str, object]:
    document, _status = health()
    return {
        "status": document["status"],
        "headline": headline(document),
        "closed": current.maintenance(),
        "uploads_closed": current.uploads_closed(),
        "parts": [_part(document[key], name) for key, name in PARTS.items()],
    }


def _part(document: Document, name: str) -> Part:
    status = document["status"]
    number = f"{document['workers']} " if document.get("workers") and status == "alive" else ""
    return Part(name, status in WELL, number + SAYS[status])


def _pulse() -> dict[str, object]:
    try:
        return {"pulse": pulse()}
    except redis.RedisError:
        return {"pulse_away": True}


def _own(user: User | AnonymousUser) -> dict[str, object]:
    if isinstance(user, AnonymousUser):
        return {}
    try:
        return {"own": _of(user), "may_upload": any(map(user.has_perm, VIEW_UPLOADS))}
    except DatabaseError:
        return {"own_away": True}


def _of(user: User) -> Own:
    alive = Token.objects.filter(user=user, expires_at__gt=timezone.now())
    told = alive.aggregate(tokens=Count("pk"), expires=Min("expires_at"))
    latest = Upload.objects.filter(user=user).order_by("-created_at")[:LATEST]
    return Own([(upload, state(upload)) for upload in latest], **told)
