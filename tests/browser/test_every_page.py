"""What holds for each page of the URL table."""

from __future__ import annotations

import pytest

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.pages import NAMES, path
from tests.browser.site import OPERATOR, BrowsedSite

HEAVIEST = 150_000  # bytes, as they are sent
PHONE = {"width": 390, "height": 844}

every_page = pytest.mark.parametrize("name", NAMES)


@every_page
@pytest.mark.parametrize(("person", "scheme"), [("", "dark"), (OPERATOR, "light"), (OPERATOR, "dark")])
def test_nothing_stands_in_the_way(
    site: BrowsedSite, tab_of: Open, name: str, person: str, scheme: str
) -> None:
    tab = tab_of(person, color_scheme=scheme)
    tab.open(path(site, name))
    assert tab.barriers() == []


@every_page
def test_it_is_light_and_says_what_it_is(site: BrowsedSite, operator: Tab, name: str) -> None:
    assert operator.open(path(site, name)).status == (404 if name == "absent" else 200)
    assert operator.weight() < HEAVIEST
    assert operator.page.title()
    assert operator.page.get_by_role("heading", level=1).count() == 1


@every_page
def test_it_fits_a_phone(site: BrowsedSite, tab_of: Open, name: str) -> None:
    tab = tab_of(OPERATOR, viewport=PHONE)
    tab.open(path(site, name))
    assert tab.sideways() <= 0
