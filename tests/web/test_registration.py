"""Registration of pages: the menu, the state under maintenance, and unique addresses."""

from __future__ import annotations

import re
from itertools import groupby

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.urls import URLPattern, path

from tecken.web.auth import Group, SitePage
from tecken.web.middleware import OPEN_PREFIXES, is_for_people
from tecken.web.urls import PAGES, urlpatterns


def url(route: str = "toys/", name: str = "toys") -> URLPattern:
    return path(route, lambda request: None, name=name)  # type: ignore[arg-type, return-value]


def test_urlpatterns_have_each_name_once() -> None:
    names = [pattern.name for pattern in urlpatterns]
    assert None not in names
    assert sorted(set(map(str, names))) == sorted(map(str, names))


def test_pages_in_menu_have_about_text() -> None:
    assert [page.title for page in PAGES if page.is_in_menu and not page.part_of and not page.about] == []


def test_pages_of_a_group_are_adjacent() -> None:
    """The order of PAGES is that of the menu."""
    groups = [page.group for page in PAGES if page.is_in_menu and not page.part_of and page.group]
    assert [group for group, _pages in groupby(groups)] == [group for group in Group if group]


def test_pages_open_under_maintenance_are_configuration_and_health() -> None:
    assert [page.path for page in PAGES if page.is_open_under_maintenance] == ["/config/", "/health/"]
    assert {"/config/", "/health/"} < set(OPEN_PREFIXES)


def test_every_page_has_a_session() -> None:
    addresses = [re.sub("<.*?>", "1", f"/{url.pattern}") for page in PAGES for url in page.urls]
    assert [address for address in addresses if not is_for_people(address)] == []


@pytest.mark.parametrize(
    "path",
    [
        *("/health", "/health/live", "/symbolicate/v5", "/upload/", "/api/tokens/", "/metrics"),
        "/xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym",
    ],
)
def test_path_of_programs_has_no_session(path: str) -> None:
    assert not is_for_people(path)


def test_path_is_first_address() -> None:
    assert SitePage("Toys", [url(), url("toys/<int:number>/", "toy")]).path == "/toys/"


def test_has_url_knows_each_name() -> None:
    page = SitePage("Toys", [url(), url("toys/<int:number>/", "toy")])
    assert page.has_url("toy")
    assert not page.has_url("other")
    assert not page.has_url(None)


def test_is_offered_to_anonymous_needs_no_login() -> None:
    anonymous = AnonymousUser()
    assert SitePage("Toys", [url()]).is_offered_to(anonymous)
    assert not SitePage("Toys", [url()], needs_login=True).is_offered_to(anonymous)
    assert not SitePage("Toys", [url()], permissions=("a.b",)).is_offered_to(anonymous)


def test_is_offered_to_superuser_except_hidden_pages() -> None:
    superuser, toys = User(is_superuser=True), SitePage("Toys", [url()], permissions=("a.b",))
    assert toys.is_offered_to(superuser)
    assert not SitePage("Home", [url()], is_in_menu=False).is_offered_to(superuser)
    assert not SitePage("Parts", [url()], part_of=toys).is_offered_to(superuser)
