from __future__ import annotations

from uuid import uuid4

from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.browser.site import LIBC, SYM, BrowsedSite, archive_of


def test_a_module_is_explained(nobody: Tab) -> None:
    nobody.open("/explain/")
    nobody.page.get_by_label("Debug file").fill("crash-c")
    nobody.page.get_by_label("Debug id, build id or code id").fill(SYM.parent.name)
    nobody.page.get_by_role("button", name="Explain").first.click()
    expect(nobody.page).to_have_url(f"/explain/crash-c/{SYM.parent.name}/")
    expect(nobody.page.get_by_role("heading", level=1)).to_have_text("crash-c")
    expect(nobody.page.get_by_role("button", name="Look again")).to_have_count(0)


def test_looked_for_again(operator: Tab) -> None:
    operator.open(f"/explain/{LIBC}/")
    operator.page.get_by_role("button", name="Look again").click()
    told = operator.page.get_by_role("status")
    expect(told).to_contain_text("No source has")
    expect(operator.page.get_by_role("button", name="Look again")).to_be_enabled()


def test_it_was_missing_and_is_there_after_an_upload(site: BrowsedSite, operator: Tab) -> None:
    number = f"{uuid4().hex.upper()}0"
    nobody_has_it = {"memoryMap": [["mine.so", number]], "stacks": [[[0, 0x1000]]]}
    site.symbolicate(nobody_has_it)
    operator.open(f"/explain/mine.so/{number}/")
    expect(operator.page.get_by_role("status")).to_contain_text("No source has")
    text = SYM.read_text().replace(f"{SYM.parent.name} crash-c", f"{number} mine.so", 1)
    site.upload(archive_of({f"mine.so/{number}/mine.so.sym": text}))
    site.symbolicate(nobody_has_it)
    operator.open(f"/explain/mine.so/{number}/")
    expect(operator.page.get_by_role("status")).not_to_contain_text("No source has")
