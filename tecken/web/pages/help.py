"""How to use the site, for who uses it."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tecken.errors import Absent
from tecken.web.auth import open_page
from tecken.web.pages.help_texts import REFERENCE, topics


@open_page
@require_safe
def index(request: HttpRequest) -> HttpResponse:
    return render(request, "help/index.html", {"section": "help", "topics": topics().values()})


@open_page
@require_safe
def topic(request: HttpRequest, name: str) -> HttpResponse:
    """Raises Absent."""
    if name not in topics():
        raise Absent("There is no such help page")
    here = topics()[name]
    html = here.at(address_of_site(request))
    section = "api" if name == REFERENCE else "help"
    told = {"section": section, "topic": here, "html": html, "topics": topics().values()}
    return render(request, "help/topic.html", told)


def address_of_site(request: HttpRequest) -> str:
    """As the browser has it, without a slash at the end."""
    return request.build_absolute_uri("/").rstrip("/")
