"""A test that finds nothing wrong would have found it."""

from __future__ import annotations

import pytest
from playwright.sync_api import Browser

from tests.browser.chromium import Tab
from tests.browser.site import BrowsedSite

WRONG = {
    "a button without a name": "body.append(document.createElement('button'))",
    "an error": "defaultView.setTimeout(() => { throw new Error('thrown') })",
    "an inline style": "body.setAttribute('style', 'color: red')",
    "an image that is not there": "body.append(Object.assign(new Image(), {src: '/none.png', alt: 'none'}))",
    "something wide": "querySelector('h1').style.minWidth = '5000px'",
}


@pytest.mark.parametrize("script", WRONG.values(), ids=WRONG)
def test_what_is_wrong_is_seen(site: BrowsedSite, browser: Browser, script: str) -> None:
    with browser.new_context(base_url=site.url) as context:
        tab = Tab(context)
        tab.open("/symbolicate/")
        assert not tab.complaints
        tab.page.evaluate(f"document.{script}")
        tab.page.wait_for_load_state("networkidle")
        assert [*tab.complaints, *tab.barriers(), *range(tab.sideways())]
