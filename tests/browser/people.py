"""How somebody comes in."""

from __future__ import annotations

from tests.browser.chromium import Tab
from tests.browser.site import PASSWORD


def log_in(tab: Tab, name: str, password: str = PASSWORD) -> None:
    tab.open("/login/?next=/symbolicate/")
    tab.page.get_by_label("Username").fill(name)
    tab.page.get_by_label("Password").fill(password)
    tab.page.get_by_role("button", name="Log in").click()
