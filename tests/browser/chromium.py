"""The machine's Chromium, and what it complains about."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    Browser,
    BrowserContext,
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)

PATIENCE = 20_000  # milliseconds: a busy machine fails nothing
NAMES = ("chromium", "chromium-browser", "google-chrome")
OF_A_STATUS = "Failed to load resource: the server responded with a status of"
IMPACTS = ("minor", "moderate", "serious", "critical")
SERIOUS = ("serious", "critical")
SCREENS = {"desktop": {"width": 1280, "height": 800}, "phone": {"width": 375, "height": 780}}
SCHEMES = ("light", "dark")
ANIMATIONS_END = "Promise.allSettled(document.getAnimations().map(animation => animation.finished))"

axe = Axe()


def binary() -> str | None:
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def chromium(*arguments: str) -> Iterator[Browser]:
    """Without its sandbox, which root and most containers cannot have: it opens our own pages only."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=binary(), args=["--no-sandbox", *arguments])
        yield browser
        browser.close()


class Tab:
    """One page, and everything its browser found wrong with it."""

    def __init__(self, context: BrowserContext, refusals: int = 400) -> None:
        """Statuses from `refusals` on are wrong where a script asks."""
        context.set_default_timeout(PATIENCE)
        self.complaints: list[str] = []
        self._refusals = refusals
        self._answers: list[Response] = []
        self.page: Page = context.new_page()
        self.page.on("console", self._printed)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("response", self._answered)

    def open(self, path: str) -> Response:
        self._answers.clear()
        answer = self.page.goto(path, wait_until="load")
        assert answer is not None, path
        return answer

    def weight(self) -> int:
        """Bytes of content that came for what is open, as it was sent."""
        return sum(int(answer.request.sizes()["responseBodySize"]) for answer in self._answers)

    def barriers(self, impacts: Collection[str] = IMPACTS) -> list[str]:
        """Return what axe finds: everything, or what has one of these impacts on people."""
        found: list[dict[str, Any]] = axe.run(self.page).response["violations"]
        return [
            f"{one['id']} ({one['help']}): {node['html']}"
            for one in found
            if one["impact"] in impacts
            for node in one["nodes"]
        ]

    def barriers_anywhere(self, impacts: Collection[str] = IMPACTS) -> list[str]:
        """Return what axe finds, and what is beside the screen, on each screen in each colour scheme."""
        found = []
        for (screen, size), scheme in product(SCREENS.items(), SCHEMES):
            self.page.set_viewport_size(size)
            self.page.emulate_media(color_scheme=scheme)
            # Django's admin fades from one colour to the other, and the contrast is too low meanwhile.
            self.page.evaluate(ANIMATIONS_END)
            wide = self.sideways()
            found += [f"{screen}, {scheme}: {barrier}" for barrier in self.barriers(impacts)]
            found += [f"{screen}, {scheme}: {wide} pixels beside the screen"] if wide > 0 else []
        return found

    def copy(self, name: str = "Copy") -> str:
        """Click the button, twice, and return what it copied. It says so for a moment."""
        self.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        # On a busy machine the moment can be over before it is seen, so that the page's clock stands still.
        self.page.clock.install()
        self.page.clock.pause_at(datetime.now(UTC) + timedelta(minutes=1))
        button = self.page.get_by_role("button", name=name)
        copied = self.page.get_by_role("button", name="Copied")
        button.click()
        expect(copied).to_be_visible()
        copied.click()
        # The browser copies in its own time, and the moment begins when it has.
        self.page.clock.resume()
        expect(button).to_be_visible()
        return str(self.page.evaluate("navigator.clipboard.readText()"))

    def sideways(self) -> int:
        """How many pixels are beside the screen."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))

    def _printed(self, message: ConsoleMessage) -> None:
        """Statuses are looked at below: one of the page itself may be what a test wants."""
        if message.type in ("error", "warning") and not message.text.startswith(OF_A_STATUS):
            self.complaints.append(f"{message.type}: {message.text} ({self.page.url})")

    def _answered(self, answer: Response) -> None:
        self._answers.append(answer)
        request: Request = answer.request
        if answer.status >= self._refusals and not request.is_navigation_request():
            self.complaints.append(f"{answer.status} {request.method} {answer.url} ({self.page.url})")
