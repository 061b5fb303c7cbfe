"""The slider of the store: by mouse or keyboard, and without a script."""

from __future__ import annotations

import re

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.site import OPERATOR, BrowsedSite

CURVE = """
import json, time
from tecken.monitoring.health import measurements
from tecken.redisclient import services
from tecken.store.miss_ratio import Entries, MissRatioCurve
curve = MissRatioCurve((100 << 20, 400 << 20), (0.5, 0.97), 5000, 5000)
sizing = measurements.Sizing(time.time(), curve, (None, None, None), Entries(10, 400 << 20, ((1024, 10),)))
services.counters_client().set(measurements.SIZING_KEY, json.dumps(sizing))
"""


def test_slider_moved_by_keys_changes_figures_and_command(site: BrowsedSite, tab_of: Open) -> None:
    site.run(CURVE)
    tab = tab_of(OPERATOR)
    tab.open("/store/")
    page = tab.page
    expect(page.locator("#advice")).to_contain_text("The store is well sized: 97 % of reads hit with")
    slider = page.get_by_role("slider", name=re.compile("^Memory"))
    expect(slider).to_have_attribute("aria-valuetext", "500 MiB: 97 % hits")
    slider.press("Home")
    first = page.locator("#sizes tbody tr").first
    expect(page.locator("output")).to_have_text(first.locator("th").text_content() or "a size")
    megabytes = first.get_attribute("data-megabytes")
    expect(page.locator("#apply")).to_have_text(
        f'make redis-store-cli ARGS="config set maxmemory {megabytes}mb"'
    )
    slider.press("End")
    expect(page.locator("#apply")).to_contain_text("maxmemory 500mb")
    assert tab.barriers_anywhere() == []


def test_sizes_without_scripts_are_a_table(site: BrowsedSite, tab_of: Open) -> None:
    site.run(CURVE)
    tab = tab_of(OPERATOR, java_script_enabled=False)
    tab.open("/store/")
    expect(tab.page.get_by_role("slider")).to_have_count(0)
    tab.page.get_by_text("All sizes as a table").click()
    expect(tab.page.locator("#sizes tbody tr", has_text="now")).to_contain_text("500mb")
