from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import cache
from typing import Any

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.chromium import PATIENCE, Tab, chromium
from tests.browser.people import log_in
from tests.browser.site import DEVELOPER, OPERATOR, BrowsedSite

Open = Callable[..., Tab]
# Name of the property with the steps and seconds of a path (test_paths.py).
WALKS = "path"

expect.set_options(timeout=PATIENCE)


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BrowsedSite]:
    with BrowsedSite(tmp_path_factory.mktemp("site")) as running:
        yield running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def session_of(site: BrowsedSite, browser: Browser) -> Callable[[str], Any]:
    """What a browser has kept of somebody who has logged in; of nobody without a name."""

    @cache
    def logged_in(name: str) -> Any:
        if not name:
            return None
        with browser.new_context(base_url=site.url) as context:
            tab = Tab(context)
            log_in(tab, name)
            expect(tab.page.get_by_role("banner")).to_contain_text(name)
            return context.storage_state()

    return logged_in


@pytest.fixture
def tab_of(site: BrowsedSite, browser: Browser, session_of: Callable[[str], Any]) -> Iterator[Open]:
    """`tab_of(name, color_scheme="dark")`: a new browser of this person. At the end it has no complaints."""
    tabs: list[Tab] = []
    with ExitStack() as stack:

        def opened(name: str = "", refusals: int = 400, **how: Any) -> Tab:
            context = browser.new_context(base_url=site.url, storage_state=session_of(name), **how)
            tabs.append(Tab(stack.enter_context(context), refusals))
            return tabs[-1]

        yield opened
    assert [complaint for tab in tabs for complaint in tab.complaints] == []


@pytest.fixture
def nobody(tab_of: Open) -> Tab:
    return tab_of()


@pytest.fixture
def operator(tab_of: Open) -> Tab:
    return tab_of(OPERATOR)


@pytest.fixture
def developer(tab_of: Open) -> Tab:
    return tab_of(DEVELOPER)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the steps and seconds of each path."""
    passed = terminalreporter.getreports("passed")
    for text in [text for report in passed for name, text in report.user_properties if name == WALKS]:
        terminalreporter.write_line(f"Path of a {text}")
