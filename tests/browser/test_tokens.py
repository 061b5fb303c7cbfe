from __future__ import annotations

import httpx
from playwright.sync_api import Locator, expect

from tests.browser.chromium import Tab
from tests.browser.site import BrowsedSite


def make(tab: Tab, notes: str) -> None:
    tab.open("/tokens/")
    tab.page.get_by_label("upload.upload_symbols").check()
    tab.page.get_by_label("Notes").fill(notes)
    tab.page.get_by_role("button", name="Create token").click()


def row(tab: Tab, notes: str) -> Locator:
    return tab.page.get_by_role("row").filter(has_text=notes)


def works(site: BrowsedSite, key: str) -> bool:
    return httpx.post(f"{site.url}/upload/auth_info/", headers={"Auth-Token": key}, timeout=30).is_success


def test_made_copied_used_and_revoked(site: BrowsedSite, developer: Tab) -> None:
    page = developer.page
    make(developer, "of a test that revokes it")
    key = developer.copy()
    assert works(site, key)
    assert developer.barriers() == []
    mine = row(developer, "of a test that revokes it")
    mine.get_by_text("Change").click()
    mine.get_by_role("button", name="Revoke now").click()
    expect(page.get_by_role("status")).to_contain_text("revoked")
    expect(row(developer, "of a test that revokes it")).to_contain_text("expired")
    assert not works(site, key)


def test_shown_once(developer: Tab) -> None:
    make(developer, "of a test that reads it")
    key = developer.page.get_by_label("Your new token").input_value()
    developer.open("/tokens/")
    expect(row(developer, "of a test that reads it")).to_be_visible()
    assert key not in developer.page.content()


def test_extended_and_deleted(developer: Tab) -> None:
    notes = "of a test that deletes it"
    make(developer, notes)
    mine = row(developer, notes)
    mine.get_by_text("Change").click()
    mine.get_by_label("Additional days").fill("700")
    mine.get_by_role("button", name="Extend").click()
    expect(developer.page.get_by_role("status")).to_contain_text("can be used until")
    mine.get_by_text("Change").click()
    mine.get_by_role("button", name="Delete").click()
    expect(developer.page.get_by_role("status")).to_contain_text("is deleted")
    expect(row(developer, notes)).to_have_count(0)
