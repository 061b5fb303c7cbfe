from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.browser.people import log_in
from tests.browser.site import DEVELOPER


def test_who_logs_in_comes_back_and_can_log_out(nobody: Tab) -> None:
    log_in(nobody, DEVELOPER)
    expect(nobody.page).to_have_url("/symbolicate/")
    expect(nobody.page.get_by_role("banner")).to_contain_text(DEVELOPER)
    nobody.page.get_by_role("button", name="Log out").click()
    nobody.open("/symbolicate/")
    expect(nobody.page.get_by_role("link", name="Log in")).to_be_visible()


def test_a_wrong_password_is_told(nobody: Tab) -> None:
    log_in(nobody, "nobody@example.com", "a guess")
    expect(nobody.page.get_by_text("Please enter a correct")).to_be_visible()


def test_a_page_for_people_who_are_logged_in_comes_after_the_login(nobody: Tab) -> None:
    nobody.open("/tokens/")
    expect(nobody.page.get_by_label("Password")).to_be_visible()


def test_the_first_key_leads_to_the_content(nobody: Tab) -> None:
    nobody.open("/symbolicate/")
    nobody.page.keyboard.press("Tab")
    link = nobody.page.get_by_role("link", name="Skip to the content")
    expect(link).to_be_focused()
    expect(link).to_be_in_viewport()


def test_who_may_not_see_a_page_is_told(developer: Tab) -> None:
    assert developer.open("/config/").status == 403
    expect(developer.page.get_by_role("main")).to_contain_text("runtimeconfig.change_option")
    assert developer.barriers() == []
