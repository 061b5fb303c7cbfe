"""`python -m tests.browser.pictures [NAME ...]`: pages in light, dark and on a phone, for docs/images."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import django
from PIL import Image
from playwright.sync_api import Browser, Page

from tests.browser.chromium import Tab, chromium
from tests.browser.dumps import crash_dump
from tests.browser.people import log_in
from tests.browser.site import GIVEN_UP, LIBC, OPERATOR, STACK, BrowsedSite
from tests.system.site import ROOT, Site

HOST = "symbols.example.com"
IMAGES = ROOT / "docs" / "images"
HIGHEST = 1600  # pixels: what is below is cut off
KINDS: dict[str, dict[str, Any]] = {
    "light": {"viewport": {"width": 1120, "height": 700}, "color_scheme": "light"},
    "dark": {"viewport": {"width": 1120, "height": 700}, "color_scheme": "dark"},
    "phone": {"viewport": {"width": 390, "height": 780}, "color_scheme": "light"},
}


def symbolicated(tab: Tab) -> None:
    tab.open("/symbolicate/")
    tab.page.locator("#text").fill(STACK)
    tab.page.get_by_role("button", name="Symbolicate").click()


def dropped(tab: Tab) -> None:
    tab.open("/symbolicate/")
    file = {"name": "crash.dmp", "mimeType": "application/octet-stream", "buffer": crash_dump()}
    tab.page.get_by_label("A minidump").set_input_files(file)
    tab.page.get_by_role("button", name="Process").click()
    tab.page.get_by_text("crashed here").wait_for()


def at(path: str) -> Callable[[Tab], object]:
    return lambda tab: tab.open(path)


SCENES: dict[str, Callable[[Tab], object]] = {
    "home": at("/"),
    "tour": at("/tour/"),
    "symbolicate": symbolicated,
    "minidump": dropped,
    "explain": at(f"/explain/{LIBC}/"),
    "missing": at("/missing/"),
    "uploads": at("/uploads/"),
    "upload": at("/uploads/1/"),
    "files": at("/files/"),
    "fetched": at("/fetched/"),
    "tokens": at("/tokens/"),
    "store": at("/store/"),
    "config": at("/config/"),
    "history": at("/config/history/"),
    "maintenance": at("/config/maintenance/"),
    "health": at("/health/"),
    "jobs": at("/jobs/"),
    "job": at(f"/jobs/{GIVEN_UP.id}/"),
    "help": at("/help/"),
    "help-upload": at("/help/upload/"),
    "api": at("/api/docs"),
    "not-found": at("/config/versions/999/"),
}


class PicturedSite(BrowsedSite):
    """Without beat, whose samples of the last minutes would not go with the day before."""

    def start_worker(self) -> None:
        Site.start_worker(self)

    def _start(self) -> None:
        from tests.browser import past  # noqa: PLC0415 - only now is Django set up

        super()._start()
        past.make(self)


def main(*names: str) -> None:
    os.environ.update(DJANGO_SETTINGS_MODULE="tecken.settings", SECRET_KEY="pictures")
    django.setup()
    IMAGES.mkdir(exist_ok=True)
    with (
        TemporaryDirectory(prefix="tecken-") as home,
        PicturedSite(Path(home), ALLOWED_HOSTS=f"{HOST},127.0.0.1") as site,
        chromium(
            f"--host-resolver-rules=MAP {HOST} {site.url.removeprefix('http://')}",
            f"--unsafely-treat-insecure-origin-as-secure=http://{HOST}",  # else no button copies
        ) as browser,
    ):
        for kind, how in KINDS.items():
            draw(browser, kind, how, names or tuple(SCENES))


def draw(browser: Browser, kind: str, how: dict[str, Any], names: tuple[str, ...]) -> None:
    with browser.new_context(base_url=f"http://{HOST}", **how) as context:
        tab = Tab(context)
        log_in(tab, OPERATOR)
        for name in names:
            tab.page.set_viewport_size(how["viewport"])
            SCENES[name](tab)
            tab.page.wait_for_load_state("networkidle")
            (IMAGES / f"{name}-{kind}.webp").write_bytes(picture(tab.page))


def picture(page: Page) -> bytes:
    width, height = page.evaluate("[innerWidth, document.documentElement.scrollHeight]")
    page.set_viewport_size({"width": width, "height": min(height, HIGHEST)})
    encoded = BytesIO()
    # Text on plain areas is smaller without loss than with a loss that shows. Chromium's own WebP has one.
    image = Image.open(BytesIO(page.screenshot(type="png"))).convert("RGB")
    image.save(encoded, "WEBP", lossless=True, quality=100, method=6)
    return encoded.getvalue()


if __name__ == "__main__":
    main(*sys.argv[1:])
