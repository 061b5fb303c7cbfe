from __future__ import annotations

import re
from base64 import b64encode
from pathlib import Path
from random import randbytes
from uuid import uuid4

import pytest
from playwright.sync_api import CDPSession, Locator, Page, expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.site import DEVELOPER, SYM, archive_of

SLOW = 100_000  # bytes a second
BIG = 2_000_000  # bytes
ZIP = "application/zip"
FIELD = "An archive"
PART_SENT = re.compile(r"\d+ KB of 2\.0 MB sent")
DROP = """([name, base64]) => {
  const bytes = Uint8Array.from(atob(base64), (one) => one.charCodeAt(0));
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(new File([bytes], name, {type: "application/zip"}));
  const how = {dataTransfer, bubbles: true, cancelable: true};
  const main = document.querySelector("main");
  for (const type of ["dragover", "drop"]) main.dispatchEvent(new DragEvent(type, how));
}"""


def archive(filler: int = 0) -> bytes:
    """With a module of its own; `filler` bytes more that no compression makes fewer."""
    number = f"{uuid4().hex.upper()}0"
    text = SYM.read_text().replace(f"{SYM.parent.name} crash-c", f"{number} mine.so", 1)
    return archive_of({f"mine.so/{number}/mine.so.sym": text, "filler/0/filler": randbytes(filler)})


def send(page: Page, name: str, content: bytes) -> Locator:
    """The row that tells how far it is."""
    page.get_by_label(FIELD).set_input_files({"name": name, "mimeType": ZIP, "buffer": content})
    page.get_by_role("button", name="Upload").click()
    return row(page, name)


def row(page: Page, name: str) -> Locator:
    return page.locator(".sent li").filter(has_text=name)


@pytest.fixture
def slowly(developer: Tab) -> CDPSession:
    session = developer.page.context.new_cdp_session(developer.page)
    speed(session, SLOW)
    return session


def speed(session: CDPSession, upload: int) -> None:
    """Bytes a second; -1: as fast as it goes."""
    conditions = {"offline": False, "latency": 0, "downloadThroughput": -1, "uploadThroughput": upload}
    session.send("Network.emulateNetworkConditions", conditions)


def test_several_go_up_and_are_kept(developer: Tab, tmp_path: Path) -> None:
    developer.open("/uploads/")
    names = ["first-of-two.zip", "second-of-two.zip"]
    for name in names:
        (tmp_path / name).write_bytes(archive())
    developer.page.get_by_label(FIELD).set_input_files([tmp_path / name for name in names])
    developer.page.get_by_role("button", name="Upload").click()
    for name in names:
        expect(row(developer.page, name)).to_contain_text("complete: 2 files")
    assert developer.barriers() == []
    expect(developer.page.get_by_role("status")).to_contain_text(names[1])
    row(developer.page, names[0]).get_by_role("link").click()
    expect(developer.page.get_by_role("heading", level=1)).to_have_text(names[0])
    expect(developer.page.get_by_role("main")).to_contain_text("mine.so.sym")


def test_it_is_dropped_on_the_page(developer: Tab) -> None:
    developer.open("/uploads/")
    developer.page.evaluate(DROP, ["dropped.zip", b64encode(archive()).decode()])
    expect(row(developer.page, "dropped.zip")).to_contain_text("complete")


def test_the_bar_shows_bytes_that_were_sent(developer: Tab, slowly: CDPSession) -> None:
    developer.open("/uploads/")
    mine = send(developer.page, "large.zip", archive(BIG))
    expect(mine).to_contain_text(PART_SENT)
    bar = mine.get_by_role("progressbar")
    before = int(str(bar.get_attribute("value")))
    assert 0 < before < int(str(bar.get_attribute("max")))
    expect(bar).not_to_have_attribute("value", str(before))
    assert int(str(bar.get_attribute("value"))) > before
    speed(slowly, -1)
    expect(mine).to_contain_text("complete")


@pytest.mark.usefixtures("slowly")
def test_cancelled_while_it_is_sent(developer: Tab) -> None:
    developer.open("/uploads/")
    mine = send(developer.page, "cancelled.zip", archive(BIG))
    expect(mine).to_contain_text(PART_SENT)
    developer.page.get_by_role("button", name="Cancel cancelled.zip").click()
    expect(mine).to_contain_text("cancelled")
    expect(mine.get_by_role("progressbar")).to_have_count(0)
    developer.open("/uploads/")
    expect(developer.page.get_by_role("link", name="cancelled.zip")).to_have_count(0)


def test_what_is_wrong_is_told(tab_of: Open) -> None:
    tab = tab_of(DEVELOPER, refusals=401)
    tab.open("/uploads/")
    page = tab.page
    mine = send(page, "names.zip", archive_of({"what is this": ""}))
    expect(mine).to_contain_text("Unrecognized file pattern")
    expect(send(page, "text.txt", b"no zip")).to_contain_text("Unrecognized archive file extension")


def test_without_scripts(tab_of: Open, tmp_path: Path) -> None:
    tab = tab_of(DEVELOPER, java_script_enabled=False)
    tab.open("/uploads/")
    (tmp_path / "plain.zip").write_bytes(archive())
    tab.page.get_by_label(FIELD).set_input_files(tmp_path / "plain.zip")
    tab.page.get_by_role("button", name="Upload").click()
    expect(tab.page.get_by_role("heading", level=1)).to_have_text("plain.zip")
