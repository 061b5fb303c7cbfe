"""Home page: introduction or guided tour, state of the site, own uploads and tokens, links to all pages.

Its example is a module and an offset that this site can symbolicate.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
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
from tecken.errors import BadModule
from tecken.monitoring.health.status import Document, health
from tecken.runtimeconfig import current
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbolication.trace import Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, Section
from tecken.upload.models import Upload
from tecken.web.auth import VIEW_UPLOADS, SitePage, is_from_program, open_page
from tecken.web.charts import load_activity
from tecken.web.formatting import count
from tecken.web.pages.docs import site_address
from tecken.web.pages.health import headline
from tecken.web.pages.tour import (
    SAMPLE,
    SAMPLE_OFFSET,
    is_first_page,
    is_offered,
    load_header,
    render_tour,
    sample_check,
)
from tecken.web.pages.uploads import state_of

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
    """Show the home page, or the tour in its place."""
    if is_first_page(request):
        return render_tour(request)
    user = request.user if isinstance(request.user, User) else AnonymousUser()
    # Each part has its own failure: the page appears without the database and without Redis.
    context = {
        "site": site_address(request),
        "has_tour": is_offered(),
        "example": find_example(user),
        **_site_state(),
        **_activity(),
        **_account(user),
    }
    return render(request, "home/page.html", context)


def _site_state() -> dict[str, object]:
    document, _status = health()
    states = (_part_state(document[key], name) for key, name in PARTS.items())
    return {
        "status": document["status"],
        "headline": headline(document),
        "closed": current.maintenance(),
        "uploads_closed": current.uploads_closed(),
        "parts": [*states, *_failed_jobs(document)],
    }


def _part_state(document: Document, name: str) -> PartState:
    status = document["status"]
    number = f"{document['workers']} " if document.get("workers") and status == "alive" else ""
    return PartState(name, status in GOOD_STATUSES, number + STATUS_TEXTS[status])


def _failed_jobs(document: Document) -> Iterator[PartState]:
    if dead := document["queue"].get("dead"):
        yield PartState("Failed jobs", False, f"{count(dead)}, to retry or drop")


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


# Example

# Bounds the look-ups of a request when the newest files have no symbols.
CANDIDATES = 3


class Example(NamedTuple):
    """Frame that can be symbolicated."""

    debug_file: str
    debug_id: str
    offset: int

    @property
    def line(self) -> str:
        """Frame in the form in which a user can paste it."""
        return f"{self.debug_file} {self.debug_id} +{self.offset:#x}"

    @property
    def body(self) -> str:
        """Request body for the API, quoted for a shell."""
        name = json.dumps(self.debug_file)
        return shlex.quote(
            f'{{\n  "memoryMap": [[{name},\n    "{self.debug_id}"]],\n  "stacks": [[[0, {self.offset}]]]}}'
        )


def find_example(user: User | AnonymousUser) -> Example | None:
    """Return the sample if it is stored, else the newest of the user's own modules that has symbols.

    Other modules are never shown: the id of a module is enough to download its symbols.
    """
    if sample_check().get():
        return Example(SAMPLE.debug_file, SAMPLE.debug_id, SAMPLE_OFFSET)
    if isinstance(user, AnonymousUser):
        return None
    try:
        examples = [_read_example(*names) for names in _newest_modules(user)]
    except DatabaseError:
        return None
    return next(filter(None, examples), None)


def _newest_modules(user: User) -> list[tuple[str, str]]:
    files = SymbolFile.objects.exclude(completed_at=None).exclude(debug_id="").filter(try_symbols=False)
    if not user.has_perm("upload.view_all_uploads"):
        uploads = Upload.objects.filter(user=user).order_by("-created_at").values_list("pk", flat=True)
        files = files.filter(upload__in=list(uploads[:CANDIDATES]))
    return list(files.order_by("-created_at").values_list("debug_file", "debug_id")[:CANDIDATES])


def _read_example(debug_file: str, debug_id: str) -> Example | None:
    try:
        module = ObjectId.parse(debug_file, debug_id)
    except BadModule:
        return None
    # The loader reads memory, the store and page files. It converts nothing for an example.
    header = load_header(module)
    if not isinstance(header, Header) or not header.pages(Section.SYMBOLS):
        return None
    page = (module, header, header.pages(Section.SYMBOLS).start)
    pages = symbolication_services.symbol_loader().pages([page], Trace()).found
    return next((Example(debug_file, debug_id, header.unpack(page).keys[0]) for page in pages.values()), None)
