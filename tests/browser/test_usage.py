"""An exception to a limit, from the list of usage to its undoing."""

from __future__ import annotations

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.site import OPERATOR


def test_exception_is_set_and_removed_by_an_operator(tab_of: Open) -> None:
    tab = tab_of(OPERATOR)
    page = tab.page
    tab.open("/tokens/")
    page.get_by_role("link", name="Usage of").first.click()
    page.get_by_label("Kind").select_option("Uploads")
    page.get_by_label("At most").fill("100")
    page.get_by_label("Unit").select_option("GiB")
    page.get_by_label("Why").fill("moves an archive")
    page.get_by_role("button", name="Set this limit").click()
    expect(page.locator("main")).to_contain_text("upload: 100 GiB/day")
    expect(page.locator("main")).to_contain_text("0.0 % of 100 GiB/day per token")
    tab.open("/usage/")
    expect(page.locator("#exceptions ~ div")).to_contain_text("moves an archive")
    page.get_by_role("button", name="Remove upload 100 GiB/day per token").click()
    expect(page.locator("main")).to_contain_text("All users and tokens have the same limits.")
