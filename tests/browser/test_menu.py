"""The menu: one line on a desktop, a drawer on a phone, with the keyboard and without scripts."""

from __future__ import annotations

from itertools import pairwise

import pytest
from playwright.sync_api import Locator, expect

from tests.browser.chromium import Tab
from tests.browser.conftest import Open
from tests.browser.site import OPERATOR

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 375, "height": 780}
LINE = 60  # pixels: two lines need more
PARTS = ("Symbolicate", "Symbols", "Builds", "Operation", "Help", "Log out")


def shown(tab: Tab, name: str) -> Locator:
    return tab.page.get_by_role("banner").get_by_text(name, exact=True).locator("visible=true")


def boxes(tab: Tab) -> list[dict[str, float]]:
    found = [shown(tab, name).first.bounding_box() for name in PARTS]
    return [dict(box) for box in found if box]


def test_all_groups_fit_one_line(tab_of: Open) -> None:
    tab = tab_of(OPERATOR, viewport=DESKTOP)
    tab.open("/fetched/")
    parts = boxes(tab)
    assert len(parts) == len(PARTS)
    assert max(box["y"] + box["height"] for box in parts) < LINE
    assert all(one["x"] + one["width"] <= other["x"] for one, other in pairwise(parts))
    assert tab.sideways() <= 0


@pytest.mark.parametrize("scripts", [True, False])
def test_group_opens_below_its_button_and_leads_to_a_page(tab_of: Open, scripts: bool) -> None:
    tab = tab_of(OPERATOR, viewport=DESKTOP, java_script_enabled=scripts)
    tab.open("/fetched/")
    button = tab.page.get_by_role("button", name="Operation")
    link = tab.page.get_by_role("link", name="Jobs", exact=True)
    expect(link).to_be_hidden()
    button.click()
    expect(link).to_be_visible()
    above, below = button.bounding_box(), link.bounding_box()
    assert above
    assert below
    assert below["y"] > above["y"]
    assert abs(below["x"] - above["x"]) < above["width"]
    link.click()
    expect(tab.page).to_have_url("/jobs/")


def test_group_is_used_with_the_keyboard(tab_of: Open) -> None:
    tab = tab_of(OPERATOR, viewport=DESKTOP)
    tab.open("/fetched/")
    keys, button = tab.page.keyboard, tab.page.get_by_role("button", name="Help")
    button.focus()
    keys.press("Enter")
    assert tab.barriers() == []
    keys.press("Tab")
    expect(tab.page.get_by_role("link", name="Help", exact=True)).to_be_focused()
    keys.press("Escape")
    expect(button).to_be_focused()
    expect(tab.page.get_by_role("link", name="Help", exact=True)).to_be_hidden()


def test_only_one_group_is_open(tab_of: Open) -> None:
    tab = tab_of(OPERATOR, viewport=DESKTOP)
    tab.open("/fetched/")
    for name in ("Help", "Operation"):
        tab.page.get_by_role("button", name=name).click()
    expect(shown(tab, "Jobs")).to_have_count(1)
    expect(shown(tab, "API")).to_have_count(0)
    tab.page.mouse.click(600, 700)
    expect(shown(tab, "Jobs")).to_have_count(0)


@pytest.mark.parametrize("scripts", [True, False])
def test_drawer_on_a_phone(tab_of: Open, scripts: bool) -> None:
    tab = tab_of(OPERATOR, viewport=PHONE, java_script_enabled=scripts)
    tab.open("/fetched/")
    links = tab.page.get_by_role("navigation", name="Site").get_by_role("link")
    expect(links).to_have_count(0)
    assert tab.page.get_by_role("banner").evaluate("header => header.offsetHeight") < LINE
    tab.page.get_by_role("button", name="Menu").click()
    expect(tab.page.get_by_role("button", name="Close")).to_be_visible()
    expect(tab.page.get_by_role("list", name="Operation").get_by_role("link")).to_have_count(5)
    expect(tab.page.get_by_role("button", name="Log out")).to_be_visible()
    if scripts:
        assert tab.barriers() == []
    tab.page.get_by_role("link", name="Jobs").click()
    expect(tab.page).to_have_url("/jobs/")


def test_drawer_closes_with_escape_and_beside_it(tab_of: Open) -> None:
    tab = tab_of(viewport=PHONE)
    tab.open("/symbolicate/")
    link = tab.page.get_by_role("link", name="Explain")
    button = tab.page.get_by_role("button", name="Menu")
    button.click()
    expect(link).to_be_visible()
    tab.page.keyboard.press("Escape")
    expect(link).to_be_hidden()
    button.click()
    expect(link).to_be_visible()
    tab.page.mouse.click(10, 400)
    expect(link).to_be_hidden()
