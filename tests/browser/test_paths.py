"""The paths of a newcomer, a build engineer and a developer with a crash, from the first page to their goal.

The number of steps and the seconds of each path are printed at the end of the run.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.browser.conftest import WALKS
from tests.browser.site import BrowsedSite, archive_of

ENGINEERS_ID, DEVELOPERS_ID = "E1" * 16 + "0", "D1" * 16 + "0"
CRASH = f"walk-crash.so/{DEVELOPERS_ID}+0x1004\nwalk-crash.so/{DEVELOPERS_ID}+0x1024\n"


def symbols(name: str, debug_id: str) -> str:
    return (
        f"MODULE Linux x86_64 {debug_id} {name}\nFILE 0 /src/walk.c\n"
        f"FUNC 1000 20 0 deepest\n1000 20 7 0\nFUNC 1020 20 0 caller\n1020 20 12 0\n"
    )


Step = Callable[[str], None]
Walk = Callable[[str], AbstractContextManager[Step]]


@pytest.fixture
def walk(record_property: Callable[[str, object], None]) -> Walk:
    """`with walk(who) as step: step(what)`: a path that is in the summary of the run."""

    @contextmanager
    def walking(who: str) -> Iterator[Step]:
        steps: list[str] = []
        began = time.monotonic()
        yield steps.append
        record_property(
            WALKS, f"{who}: {len(steps)} steps, {time.monotonic() - began:.1f} s ({'; '.join(steps)})"
        )

    return walking


def test_newcomer_sees_a_crash_its_functions_and_a_missing_module(nobody: Tab, walk: Walk) -> None:
    page = nobody.page
    with walk("newcomer") as step:
        step("open the site")
        nobody.open("/")
        expect(page.get_by_role("heading", level=1)).to_have_text("A crash, from addresses to functions")
        expect(page.locator(".inlined").first).to_be_visible()
        step("symbolicate the sample crash")
        page.get_by_role("button", name="Symbolicate it").click()
        expect(page.locator(".stack .function").first).to_be_visible()
        page.go_back()
        step("ask why a module is missing")
        page.get_by_role("link", name="Explain libc.so.6").click()
        expect(page.get_by_role("main")).to_contain_text("never uploaded")


def test_build_engineer_adds_uploads_to_a_ci(
    developer: Tab,
    site: BrowsedSite,
    walk: Walk,
    tmp_path: Path,
) -> None:
    page = developer.page
    build = tmp_path / "build"
    build.mkdir()
    (build / "walk-build.so.sym").write_text(symbols("walk-build.so", ENGINEERS_ID))
    with walk("build engineer") as step:
        step("open the page of tokens")
        developer.open("/tokens/")
        step("name the job, and press Add to CI")
        page.get_by_label("Note: the project and the job").fill("walk of a build engineer")
        page.get_by_role("button", name="Add to CI").click()
        step("run the two commands that the page shows")
        page.locator("summary").filter(has_text="plain shell").click()
        commands = [page.locator(f"#shell-{part}").inner_text() for part in ("secret", "step")]
        environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}
        done = subprocess.run(
            ["bash", "-c", "\n".join(["set -e", *commands])],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "walk-build.so" in done.stdout
        step("see the upload arrive on the page, and open it")
        first = page.get_by_label("First upload")
        expect(first).to_contain_text("It works")
        first.get_by_role("link", name="upload").click()
        expect(page.get_by_role("main")).to_contain_text("walk-build.so")


def test_developer_finds_out_why_and_reads_the_functions(
    nobody: Tab,
    site: BrowsedSite,
    walk: Walk,
) -> None:
    page = nobody.page
    with walk("developer with a crash") as step:
        step("paste the crash")
        nobody.open("/symbolicate/")
        page.locator("#text").fill(CRASH)
        page.get_by_role("button", name="Symbolicate").click()
        step("read what is missing, and the command that helps")
        expect(page.locator("#modules .remedy")).to_contain_text(
            f"tecken-upload --url {site.url} walk-crash.so"
        )
        step("share the stack")
        page.get_by_role("button", name="Share").click()
        expect(page.locator("#link")).to_be_visible()
        step("let a colleague upload the symbols")
        member = {f"walk-crash.so/{DEVELOPERS_ID}/walk-crash.so.sym": symbols("walk-crash.so", DEVELOPERS_ID)}
        site.upload(archive_of(member))
        step("look again, and read the functions")
        page.get_by_role("link", name="Look again").click()
        expect(page.locator(".note.success")).to_contain_text("Symbols of walk-crash.so arrived")
        expect(page.locator(".note.success")).to_contain_text("2 more frames have functions")
        expect(page.locator(".stack .function").first).to_have_text("deepest")
