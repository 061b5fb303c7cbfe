from __future__ import annotations

import httpx
from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.site import DEVELOPER, WRITE_MISSES, BrowsedSite, archive_of

MODULE = "ci-app.so/" + "AB12" * 8 + "0"
OTHER = "ci-other.so/" + "CD34" * 8 + "0"


def add(tab: Tab, note: str) -> str:
    """Send the form and return the key of the new token."""
    tab.open("/tokens/")
    tab.page.get_by_label("Note: the project and the job").fill(note)
    tab.page.get_by_role("button", name="Add to CI").click()
    return str(tab.page.get_by_label("The token of your CI").input_value())


def send(site: BrowsedSite, key: str, module: str) -> None:
    """Upload the symbols of a module as the step of a CI does."""
    name, _, debug_id = module.partition("/")
    symbols = f"MODULE Linux x86_64 {debug_id} {name}\nFUNC 1000 20 0 f\n"
    archive = archive_of({f"{module}/{name}.sym": symbols})
    headers, files = {"Auth-Token": key}, {"symbols.zip": archive}
    url = f"{site.url}/upload/?build=7&branch=main"
    httpx.post(url, headers=headers, files=files, timeout=60).raise_for_status()


def test_first_upload_appears_and_then_its_use(site: BrowsedSite, developer: Tab) -> None:
    page = developer.page
    site.miss(MODULE)
    site.run(WRITE_MISSES)
    key = add(developer, "of a test that uploads")
    first = page.get_by_label("First upload")
    expect(first).to_contain_text("Waiting for the first upload with this token")
    assert developer.barriers() == []
    page.locator("summary").filter(has_text="plain shell").click()
    expect(page.locator("#shell-secret")).to_have_text(f"export TECKEN_TOKEN={key}")
    expect(page.locator("#shell-step")).to_contain_text(f"curl -fsSO {site.url}/tecken-upload.pyz")
    send(site, key, MODULE)
    expect(first).to_contain_text("It works")
    expect(first).to_contain_text("1 of 1 module was missing before, in 1 request")
    expect(page.locator("#shell-step")).to_be_visible()
    expect(page.get_by_label("The token of your CI")).to_have_value(key)
    site.miss(MODULE)
    expect(first).to_contain_text("It was symbolicated or downloaded since")
    assert developer.barriers() == []
    first.get_by_role("link", name="upload").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("symbols.zip")
    expect(page.get_by_role("main")).to_contain_text("1 of 1 module was missing before")


def test_look_again_works_without_scripts(site: BrowsedSite, tab_of: Open) -> None:
    tab = tab_of(DEVELOPER, java_script_enabled=False)
    key = add(tab, "of a test without scripts")
    first = tab.page.get_by_label("First upload")
    first.get_by_role("link", name="Look again").click()
    expect(first).to_contain_text("Waiting for the first upload with this token")
    assert key not in tab.page.content()
    send(site, key, OTHER)
    first.get_by_role("link", name="Look again").click()
    expect(first).to_contain_text("It works")


def test_rotated_token_is_marked_and_the_new_key_works(site: BrowsedSite, developer: Tab) -> None:
    page = developer.page
    add(developer, "of a test that rotates")
    developer.open("/tokens/")
    row = page.get_by_role("row").filter(has_text="of a test that rotates")
    row.get_by_text("Change").click()
    row.get_by_label("Days for which the old key stays valid").fill("0")
    row.get_by_role("button", name="Rotate").click()
    key = page.get_by_label("Your new token").input_value()
    expect(row.filter(has_text="rotated")).to_contain_text("expired")
    reply = httpx.post(f"{site.url}/upload/auth_info/", headers={"Auth-Token": key}, timeout=30)
    assert reply.is_success
