from __future__ import annotations

import pytest

from tecken.store.hit_counts import ModuleHits, PageRequests
from tecken.store.miss_ratio import Entries
from tecken.symbols.ids import ModuleKey
from tecken.web.charts.hot_modules import HEIGHT, WIDTH, Bar, bars, hottest


def row(name: str, hits: int, misses: int) -> ModuleHits:
    return ModuleHits(ModuleKey(name, "A" * 33), hits, misses)


def test_area_is_how_often_it_was_asked_for() -> None:
    xul, libc = hottest([row("libc.so", 1, 0), row("xul.pdb", 2, 1)], [])
    assert (xul.module.debug_file, xul.asked, libc.asked) == ("xul.pdb", 3, 1)
    assert xul.tile.width * xul.tile.height == pytest.approx(WIDTH * HEIGHT * 3 / 4)


def test_the_busiest_pages_lie_in_their_modules() -> None:
    xul, libc = row("xul.pdb", 75, 0), row("libc.so", 25, 0)
    found, _other = hottest([xul, libc], [PageRequests(xul.module, 7, 30), PageRequests(xul.module, 9, 15)])
    assert [(page.page, page.asked) for page in found.pages] == [(7, 30), (9, 15)]
    first = found.pages[0].tile
    assert first.width * first.height == pytest.approx(WIDTH * HEIGHT * 30 / 100, rel=0.01)
    assert all(
        page.tile.x + page.tile.width <= found.tile.width + 0.1
        and page.tile.y + page.tile.height <= found.tile.height + 0.1
        for page in found.pages
    )


def test_pages_that_could_not_be_seen_and_those_of_other_modules_are_left_out() -> None:
    pages = [PageRequests(row("other", 1, 0).module, 7, 30), PageRequests(row("xul.pdb", 1, 0).module, 9, 1)]
    (found,) = hottest([row("xul.pdb", 100_000, 0)], pages)
    assert found.pages == []


def test_how_well_the_store_does() -> None:
    rows = [row("a", 95, 5), row("b", 80, 20), row("c", 79, 21)]
    assert {hot.module.debug_file: hot.does for hot in hottest(rows, [])} == {
        "a": "good",
        "b": "fair",
        "c": "bad",
    }


def test_a_name_that_is_too_long_is_cut_and_one_without_room_left_out() -> None:
    (alone,) = hottest([row("x" * 500, 1, 0)], [])
    assert len(alone.label) < 130
    assert alone.label.endswith("…")
    *_others, last = hottest([row("xul.pdb", 10_000, 0), row("libc.so", 1, 0)], [])
    assert last.label == ""


def test_names_are_harmless() -> None:
    (hot,) = hottest([row("a/\u202eb", 1, 0)], [])
    assert hot.label == "a/\\u202eb"
    assert hot.explain == f"/explain/a%2F%E2%80%AEb/{'A' * 33}/"


def test_bars() -> None:
    told = bars(Entries(15, 0, ((512, 5), (1024, 0), (2048, 10), (1 << 20, 0))))
    assert told == [Bar("512 B", 5, 50.0), Bar("1 KiB", 0, 0), Bar("2 KiB", 10, 100.0), Bar("1 MiB", 0, 0)]
    assert bars(Entries(0, 0, ())) == []
