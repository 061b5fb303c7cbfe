from __future__ import annotations

from dataclasses import replace

from playwright.sync_api import expect

from tests.browser.chromium import Tab
from tests.browser.site import GIVEN_UP, BrowsedSite


def test_retried(site: BrowsedSite, operator: Tab) -> None:
    letter = replace(GIVEN_UP, id="to-be-retried", task="tecken.jobs.tasks.clean", args=[])
    site.bury(letter)
    operator.open("/jobs/")
    operator.page.get_by_label(f"{letter.task} {letter.id}").check()
    operator.page.get_by_role("button", name="Retry").click()
    expect(operator.page.get_by_text("1 put back into the queue")).to_be_visible()
    expect(operator.page.get_by_label(f"{letter.task} {letter.id}")).to_have_count(0)


def test_dropped_after_a_question(site: BrowsedSite, operator: Tab) -> None:
    letter = replace(GIVEN_UP, id="to-be-dropped")
    site.bury(letter)
    operator.open(f"/jobs/{letter.id}/")
    expect(operator.page.get_by_text("No space left on device").first).to_be_visible()
    operator.page.get_by_role("button", name="Drop").click()
    assert operator.barriers() == []
    operator.page.get_by_role("button", name="Drop permanently").click()
    expect(operator.page.get_by_text("1 dropped")).to_be_visible()


def test_it_looks_again_by_itself(site: BrowsedSite, operator: Tab) -> None:
    operator.open("/health/")
    with operator.page.expect_response(lambda answer: "hx-request" in answer.request.headers) as again:
        pass
    assert again.value.ok
    expect(operator.page.get_by_role("heading", level=1)).to_be_visible()
