"""Pages of errors on each screen, as the server renders them.

A page that a running site never shows on request, such as that of an unhandled exception, is rendered here by
tests/web/broken_site.py and shown at the address of the site, with its style sheet.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.test import Client
from playwright.sync_api import Route, expect

from tests.browser.conftest import Open
from tests.browser.site import BrowsedSite

HTML = {"accept": "text/html"}
BROKEN = {
    "/help/odd": (400, "Bad Request"),
    "/help/forbidden": (403, "Forbidden"),
    "/no/such": (404, "Not Found"),
    "/help/large": (413, "Request Entity Too Large"),
    "/help/limited": (429, "Too Many Requests"),
    "/help/mistake": (500, "Internal Server Error"),
    "/help/database": (503, "Service Unavailable"),
}


def replay(response: Any) -> Callable[[Route], None]:
    headers = dict(response.headers)
    return lambda route: route.fulfill(status=response.status_code, headers=headers, body=response.content)


@pytest.mark.urls("tests.web.broken_site")
@pytest.mark.parametrize("path", BROKEN)
def test_problem_page_has_no_barriers_on_any_screen(site: BrowsedSite, tab_of: Open, path: str) -> None:
    status, title = BROKEN[path]
    response = Client(raise_request_exception=False).get(path, headers=HTML)
    tab = tab_of()
    tab.page.route(f"{site.url}{path}", replay(response))
    assert tab.open(path).status == status
    expect(tab.page.get_by_role("heading", level=1)).to_have_text(title)
    assert tab.barriers_anywhere() == []
