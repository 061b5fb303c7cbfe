from __future__ import annotations

import json
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
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
    expect(page.get_by_text("It was never uploaded").first).to_be_visible()
    assert nobody.barriers() == []


def test_inlined_calls_are_visible_above_their_caller(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    inlined = page.locator(".inlined").first
    expect(inlined).to_be_visible()
    expect(inlined).to_contain_text("inlined")
    caller = page.locator(".stack li").first.locator("> div").last
    above, below = inlined.bounding_box(), caller.bounding_box()
    assert above
    assert below
    assert above["y"] < below["y"]


@pytest.mark.parametrize(("width", "scheme"), [(375, "dark"), (1280, "light")])
def test_a_long_report_with_hostile_names_fits(tab_of: Open, width: int, scheme: str) -> None:
    tab = tab_of(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page = paste(tab, long_report())
    expect(page.get_by_text("29 other threads")).to_be_visible()
    expect(page.locator(".crash")).to_be_visible()
    assert (tab.sideways(), tab.barriers()) == (0, [])
    page.evaluate("document.querySelectorAll('details').forEach(details => { details.open = true })")
    assert (tab.sideways(), tab.barriers()) == (0, [])


def long_report() -> str:
    """30 threads with inlined calls, missing modules, and names from someone who means harm."""
    job = json.loads(STACK)["jobs"][0]
    hostile = ["<img src=x>\u202egnp.so", "L" * 10_000, "a\x1b[2Jb", "noid.so", "other.so"]
    names = [*job["memoryMap"], *([name, "A" * 33] for name in hostile)]
    modules = [{"filename": name, "debug_file": name, "debug_id": some_id} for name, some_id in names]
    frames = [{"module": names[number][0], "module_offset": hex(at)} for number, at in job["stacks"][0]]
    frames += [
        {"module": name, "module_offset": "0x10", "function": f"map<{name[:40]}, " * 40} for name in hostile
    ]
    threads = [{"thread_name": f"worker {number}", "frames": frames[-3:]} for number in range(30)]
    threads[7]["frames"] = frames
    crash = {"type": "SIGSEGV", "crashing_thread": 7}
    return json.dumps({"modules": modules, "threads": threads, "crash_info": crash})


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
    assert "crash-c!crash_report" in nobody.copy("Copy as text")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download as JSON").click()
    assert json.loads(download.value.path().read_text())["threads"]


def test_why_a_module_has_no_symbols_is_one_click_away(nobody: Tab) -> None:
    page = paste(nobody, STACK)
    page.get_by_role("link", name="libc.so.6").first.click()
    expect(page).to_have_url(f"/explain/{LIBC}/")
