"""What holds for each page of the URL table."""

from __future__ import annotations

import pytest

from tests.browser.chromium import IMPACTS, SERIOUS, Tab
from tests.browser.conftest import Open
from tests.browser.pages import NAMES, path
from tests.browser.site import OPERATOR, BrowsedSite

HEAVIEST = 150_000  # bytes, as they are sent

every_page = pytest.mark.parametrize("name", NAMES)


@every_page
@pytest.mark.parametrize("person", ["", OPERATOR])
def test_page_has_no_barriers_on_any_screen(site: BrowsedSite, tab_of: Open, name: str, person: str) -> None:
    tab = tab_of(person)
    tab.open(path(site, name))
    # The pages of Django's admin are not ours: axe finds minor and moderate things in them.
    assert tab.barriers_anywhere(SERIOUS if name == "admin" else IMPACTS) == []


@every_page
def test_it_is_light_and_says_what_it_is(site: BrowsedSite, operator: Tab, name: str) -> None:
    assert operator.open(path(site, name)).status == (404 if name == "absent" else 200)
    assert operator.weight() < HEAVIEST
    assert operator.page.title()
    assert operator.page.get_by_role("heading", level=1).count() == 1
