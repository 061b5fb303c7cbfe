from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Locator, Page, expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.site import OPERATOR, BrowsedSite
from tests.support.sentinel import wait_until

LATE = 30.0  # seconds
OPTION = "symbolicate_max_jobs"


@pytest.fixture(autouse=True)
def _as_it_was(site: BrowsedSite) -> Iterator[None]:
    yield
    site.manage("config", "set", OPTION, "10", "--why", "as it was")


def save(page: Page, value: str) -> None:
    page.get_by_label(OPTION, exact=True).fill(value)
    page.get_by_role("button", name="Save").click()


def told(tab: Tab) -> Locator:
    """What became of what was sent; what others do comes after it."""
    return tab.page.get_by_role("status").first


def test_changed_and_rolled_back(operator: Tab) -> None:
    operator.open("/config/")
    save(operator.page, "21")
    expect(told(operator)).to_contain_text(f"{OPTION}")
    save(operator.page, "22")
    expect(told(operator)).to_contain_text("21 → 22")
    operator.open("/config/history/")
    operator.page.get_by_role("link", name="roll back to this version").first.click()
    operator.page.get_by_role("button", name="Roll back to version").click()
    expect(told(operator)).to_contain_text("22 → 21")
    expect(operator.page.get_by_label(OPTION, exact=True)).to_have_value("21")


def test_search_hides_other_options_and_keeps_what_is_typed(operator: Tab) -> None:
    operator.open("/config/")
    page = operator.page
    page.get_by_label("log_level", exact=True).select_option("ERROR")
    page.get_by_role("searchbox").press_sequentially("max jobs")
    expect(page.get_by_label(OPTION, exact=True)).to_be_visible()
    expect(page.get_by_label("log_level", exact=True)).to_be_visible()
    expect(page.get_by_label("upload_max_bytes", exact=True)).to_be_hidden()
    expect(page.get_by_role("heading", name="Downloads")).to_be_hidden()
    expect(page.get_by_role("link", name="Downloads")).to_be_hidden()
    expect(page.locator("#found")).to_have_text(re.compile("^3 of"))
    page.get_by_role("searchbox").press("Enter")
    assert operator.barriers_anywhere() == []
    save(page, "24")
    expect(told(operator)).to_contain_text("log_level")
    expect(told(operator)).to_contain_text("→ 24")


def test_changed_only_shows_what_is_set(operator: Tab) -> None:
    operator.open("/config/")
    page = operator.page
    save(page, "23")
    page.get_by_label("Changed only").check()
    expect(page.get_by_label(OPTION, exact=True)).to_be_visible()
    expect(page.get_by_label("upload_max_bytes", exact=True)).to_be_hidden()
    page.get_by_label("Changed only").uncheck()
    expect(page.get_by_label("upload_max_bytes", exact=True)).to_be_visible()


def test_search_without_scripts_keeps_what_is_typed(tab_of: Open) -> None:
    tab = tab_of(OPERATOR, java_script_enabled=False)
    tab.open("/config/?q=frames")
    page = tab.page
    page.get_by_label("symbolicate_max_frames", exact=True).fill("4")
    page.get_by_role("searchbox").fill("max_jobs")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_label(OPTION, exact=True)).to_be_visible()
    expect(page.get_by_label("symbolicate_max_frames", exact=True)).to_have_value("4")
    expect(page.get_by_label("upload_max_bytes", exact=True)).to_be_hidden()


def test_undo_of_a_version_changed_again_offers_a_choice(site: BrowsedSite, operator: Tab) -> None:
    page = operator.page
    operator.open("/config/")
    page.get_by_label("log_level", exact=True).select_option("WARNING")
    save(page, "51")
    expect(told(operator)).to_contain_text("→ 51")
    site.manage("config", "set", OPTION, "52", "--why", "more")
    operator.open("/config/history/")
    page.get_by_role("link", name="undo this change").nth(1).click()
    expect(page.locator("#undo")).to_contain_text("Changed again since")
    assert operator.barriers_anywhere() == []
    page.get_by_label("keep their present values").check()
    page.get_by_role("button", name="Undo version").click()
    expect(told(operator)).to_contain_text("log_level WARNING →")
    expect(page.get_by_label(OPTION, exact=True)).to_have_value("52")


def test_what_cannot_be_is_told_beside_its_field(operator: Tab) -> None:
    operator.open("/config/")
    save(operator.page, "many")
    expect(operator.page.get_by_role("alert")).to_contain_text("Not saved")
    field = operator.page.get_by_label(OPTION, exact=True)
    expect(field).to_have_value("many")
    expect(field).to_have_accessible_description(re.compile(f"^{OPTION} should be a whole number"))
    assert operator.barriers() == []


def test_who_is_second_sees_both(tab_of: Open) -> None:
    first, second = tab_of(OPERATOR), tab_of(OPERATOR)
    first.open("/config/")
    second.open("/config/")
    save(first.page, "31")
    expect(told(first)).to_contain_text("31")
    save(second.page, "32")
    expect(second.page.get_by_role("alert")).to_contain_text("someone else changed these options")
    expect(second.page.locator(f"#{OPTION}")).to_contain_text("set now: 31")
    assert second.barriers() == []
    second.page.get_by_role("button", name="Overwrite").click()
    expect(told(second)).to_contain_text("31 → 32")


def test_a_change_of_somebody_else_comes_by_itself(site: BrowsedSite, operator: Tab) -> None:
    operator.open("/config/")
    operator.page.get_by_label(OPTION, exact=True).fill("77")
    site.manage("config", "set", OPTION, "41", "--why", "said elsewhere")
    expect(operator.page.get_by_text("said elsewhere")).to_be_visible()
    expect(operator.page.get_by_label(OPTION, exact=True)).to_have_value("77")
    operator.page.get_by_role("button", name="Compare with the new values").click()
    expect(operator.page.locator(f"#{OPTION}")).to_contain_text("set now: 41")
    assert operator.barriers() == []


def test_maintenance_begins_and_ends(operator: Tab, nobody: Tab) -> None:
    page = operator.page
    operator.open("/config/maintenance/")
    page.get_by_label("everything except health").check()
    page.get_by_label("Message").fill("We move house")
    page.get_by_role("button", name="Begin").click()
    try:
        wait_until(lambda: nobody.open("/symbolicate/").status == 503, LATE, "the site is closed")
        expect(nobody.page.get_by_text("We move house")).to_be_visible()
        assert nobody.barriers_anywhere() == []
    finally:
        page.get_by_role("button", name="Open the site").click()
        expect(told(operator)).to_contain_text("The site is open")
        wait_until(lambda: nobody.open("/symbolicate/").status == 200, LATE, "the site is open")
