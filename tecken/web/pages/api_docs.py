"""The page `/api/docs`: every operation of the API, from its OpenAPI document."""

from __future__ import annotations

from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from tecken.web.api.site import api
from tecken.web.auth import open_page
from tecken.web.pages.api_description import Description, Group
from tecken.web.pages.help import address_of_site


@open_page
@require_safe
def page(request: HttpRequest) -> HttpResponse:
    site = address_of_site(request)
    return render(request, "api/page.html", {"section": "api", "site": site, "groups": _groups(site)})


@lru_cache(maxsize=4)
def _groups(site: str) -> tuple[Group, ...]:
    return Description(api.get_openapi_schema(), site).groups()
