from __future__ import annotations

from base64 import b64encode

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.dumps import crash_dump
from tests.browser.site import LIBC
from tests.support.minidump_samples import CORES

DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name));
  const how = {dataTransfer, bubbles: true, cancelable: true};
  const main = document.querySelector("main");
  for (const type of ["dragover", "drop"]) main.dispatchEvent(new DragEvent(type, how));
}"""
SENTENCE = "crash-c crashed in per_person (crash.c:15): it accessed address 0x18, where no memory is"


def drop(tab: Tab, name: str, content: bytes) -> Page:
    tab.open("/symbolicate/")
    tab.page.evaluate(DROP, [name, b64encode(content).decode()])
    return tab.page


def test_dropped_minidump_shows_crash_and_functions(nobody: Tab) -> None:
    page = drop(nobody, "crash.dmp", crash_dump())
    expect(page.locator(".verdict")).to_contain_text(SENTENCE)
    crashed = page.locator(".crash")
    expect(crashed).to_contain_text("per_person")
    expect(crashed).to_contain_text("by_price")
    expect(page.get_by_role("link", name="libc.so.6").first).to_be_visible()
    expect(page.get_by_text("0x0000555555555205", exact=True)).to_be_visible()
    assert nobody.barriers() == []


def test_dropped_core_file_shows_the_crash(nobody: Tab) -> None:
    page = drop(nobody, "core", CORES["core"]())
    expect(page.locator(".verdict")).to_contain_text("crash crashed")


@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1280, "light")])
def test_result_fits_with_everything_unfolded(tab_of: Open, width: int, scheme: str) -> None:
    tab = tab_of(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = drop(tab, "crash.dmp", crash_dump())
    expect(page.locator(".verdict")).to_contain_text(SENTENCE)
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert (tab.sideways(), tab.barriers()) == (0, [])


def test_minidump_is_processed_without_scripts(tab_of: Open) -> None:
    tab = tab_of(java_script_enabled=False)
    tab.open("/symbolicate/")
    file = {"name": "crash.dmp", "mimeType": "application/octet-stream", "buffer": crash_dump()}
    tab.page.get_by_label("A minidump").set_input_files(file)
    tab.page.get_by_role("button", name="Process").click()
    expect(tab.page.locator(".verdict")).to_contain_text(SENTENCE)


def test_file_that_is_no_minidump_gets_the_reason(nobody: Tab) -> None:
    page = drop(nobody, "crash.dmp", b"MDMP, and nothing that a minidump has")
    expect(page.get_by_role("alert")).to_be_visible()
    expect(page.get_by_label("A minidump")).to_be_visible()


def test_minidump_that_is_opened_as_a_report_is_processed(nobody: Tab) -> None:
    nobody.open("/symbolicate/")
    file = {"name": "crash.dmp", "mimeType": "application/octet-stream", "buffer": crash_dump()}
    nobody.page.get_by_label("Open a file").set_input_files(file)
    expect(nobody.page.locator(".verdict")).to_contain_text(SENTENCE)


def test_dropped_text_is_read_into_the_field(nobody: Tab) -> None:
    page = drop(nobody, "crash.txt", b"libfoo.so 0x10")
    expect(page.get_by_label("A crash report")).to_have_value("libfoo.so 0x10")
    expect(page.get_by_label("A crash report")).to_be_focused()
    expect(page.get_by_role("status")).to_contain_text("crash.txt is a text")


@pytest.mark.parametrize(
    ("content", "reason"),
    [(b"", "crash.dmp is empty."), (b"MZ\x90\0\3", "crash.dmp is not a minidump or core file.")],
)
def test_file_that_cannot_be_a_dump_is_not_sent(nobody: Tab, content: bytes, reason: str) -> None:
    nobody.open("/symbolicate/")
    file = {"name": "crash.dmp", "mimeType": "application/octet-stream", "buffer": content}
    nobody.page.get_by_label("A minidump").set_input_files(file)
    nobody.page.get_by_role("button", name="Process").click()
    expect(nobody.page.get_by_role("status")).to_have_text(reason)


def test_result_is_copied_and_saved(nobody: Tab) -> None:
    page = drop(nobody, "crash.dmp", crash_dump())
    assert "crash-c!by_price" in nobody.copy("Copy as text")
    with page.expect_download() as download:
        page.get_by_role("link", name="Download JSON").click()
    assert '"crashing_thread"' in download.value.path().read_text()


def test_missing_module_is_one_click_from_its_explanation(nobody: Tab) -> None:
    page = drop(nobody, "crash.dmp", crash_dump())
    page.get_by_role("link", name="libc.so.6").first.click()
    expect(page).to_have_url(f"/explain/{LIBC}/")
