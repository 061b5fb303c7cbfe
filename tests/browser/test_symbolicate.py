from __future__ import annotations

import json
from pathlib import Path

from playwright.sync_api import Page, expect

from tests.browser.chromium import Tab
from tests.browser.site import LIBC, STACK

FIELD = "A crash report"


def paste(tab: Tab, text: str) -> Page:
    tab.open("/symbolicate/")
    tab.page.get_by_label(FIELD).fill(text)
    tab.page.get_by_role("button", name="Symbolicate").click()
    return tab.page


def test_functions_of_a_stack(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    expect(page.get_by_text("crash_report", exact=True).first).to_be_visible()
    expect(page.get_by_text("No source has its symbols").first).to_be_visible()
    assert nobody.barriers() == []


def test_inlined_calls_unfold(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    inlines = page.locator(".inlines").first
    expect(inlines).to_be_hidden()
    page.get_by_text("inlined").first.click()
    expect(inlines).to_be_visible()


def test_what_is_no_stack_is_told_and_kept(nobody: Tab) -> None:
    page = paste(nobody, "what is this?")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label(FIELD)).to_have_value("what is this?")


def test_a_file_is_read_into_the_field(nobody: Tab, tmp_path: Path) -> None:
    (tmp_path / "crash.json").write_text(STACK)
    nobody.open("/symbolicate/")
    nobody.page.get_by_label("Open a file").set_input_files(tmp_path / "crash.json")
    expect(nobody.page.get_by_label(FIELD)).to_have_value(STACK)


def test_a_stack_is_shared(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    page.get_by_role("button", name="Share").click()
    address = page.get_by_label("Everyone who has this address")
    expect(address).to_have_value(page.url)
    nobody.open(page.url)
    expect(page.get_by_text("crash_report", exact=True).first).to_be_visible()


def test_it_is_copied_as_text_and_kept_as_json(nobody: Tab, tmp_path: Path) -> None:
    page = paste(nobody, STACK)
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy as text").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert "crash-c!crash_report" in page.evaluate("navigator.clipboard.readText()")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    assert json.loads(download.value.path().read_text())["threads"]


def test_why_a_module_has_no_symbols_is_one_click_away(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    page.get_by_role("link", name="libc.so.6").first.click()
    expect(page).to_have_url(f"/explain/{LIBC}/")
