from __future__ import annotations

import pytest

from tecken.store.access_counts import ModuleHits, PageRequests
from tecken.store.miss_ratio import Entries
from tecken.symbols.ids import ObjectId
from tecken.web.pages.store import HEIGHT, WIDTH, SizeBar, draw_modules, size_bars


def row(name: str, hits: int, misses: int) -> ModuleHits:
    return ModuleHits(ObjectId(name, "A" * 33), hits, misses)


def test_draw_modules_area_is_number_of_requests() -> None:
    xul, libc = draw_modules([row("libc.so", 1, 0), row("xul.pdb", 2, 1)], [])
    assert (xul.module.debug_file, xul.requests, libc.requests) == ("xul.pdb", 3, 1)
    assert xul.tile.width * xul.tile.height == pytest.approx(WIDTH * HEIGHT * 3 / 4)


def test_draw_modules_places_pages_in_modules() -> None:
    xul, libc = row("xul.pdb", 75, 0), row("libc.so", 25, 0)
    module, _other = draw_modules(
        [xul, libc], [PageRequests(xul.module, 7, 30), PageRequests(xul.module, 9, 15)]
    )
    assert [(page.page, page.requests) for page in module.pages] == [(7, 30), (9, 15)]
    first = module.pages[0].tile
    assert first.width * first.height == pytest.approx(WIDTH * HEIGHT * 30 / 100, rel=0.01)
    assert all(
        page.tile.x + page.tile.width <= module.tile.width + 0.1
        and page.tile.y + page.tile.height <= module.tile.height + 0.1
        for page in module.pages
    )


def test_draw_modules_omits_small_and_foreign_pages() -> None:
    pages = [PageRequests(row("other", 1, 0).module, 7, 30), PageRequests(row("xul.pdb", 1, 0).module, 9, 1)]
    (module,) = draw_modules([row("xul.pdb", 100_000, 0)], pages)
    assert module.pages == []


def test_draw_modules_grades_hit_ratio() -> None:
    rows = [row("a", 95, 5), row("b", 80, 20), row("c", 79, 21)]
    assert {hot.module.debug_file: hot.grade for hot in draw_modules(rows, [])} == {
        "a": "good",
        "b": "fair",
        "c": "bad",
    }


def test_label_is_cut_or_left_out() -> None:
    (alone,) = draw_modules([row("x" * 500, 1, 0)], [])
    assert len(alone.label) < 130
    assert alone.label.endswith("…")
    *_others, last = draw_modules([row("xul.pdb", 10_000, 0), row("libc.so", 1, 0)], [])
    assert last.label == ""


def test_label_escapes_invisible_characters() -> None:
    (hot,) = draw_modules([row("a/\u202eb", 1, 0)], [])
    assert hot.label == "a/\\u202eb"
    assert hot.explain == f"/explain/a%2F%E2%80%AEb/{'A' * 33}/"


def test_size_bars_have_relative_lengths() -> None:
    bars = size_bars(Entries(15, 0, ((512, 5), (1024, 0), (2048, 10), (1 << 20, 0))))
    assert bars == [
        SizeBar("512 B", 5, 50.0),
        SizeBar("1 KiB", 0, 0),
        SizeBar("2 KiB", 10, 100.0),
        SizeBar("1 MiB", 0, 0),
    ]
    assert size_bars(Entries(0, 0, ())) == []
