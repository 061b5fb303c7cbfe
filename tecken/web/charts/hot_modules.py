"""Whose pages are asked for, and how large they are."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from tecken.store.hit_counts import ModuleHits, PageRequests
from tecken.store.miss_ratio import Entries
from tecken.symbols.ids import ModuleKey
from tecken.web.charts.svg import Tile, treemap
from tecken.web.templatetags.texts import visible

WIDTH, HEIGHT = 640, 300
WARM, COLD = 0.95, 0.8
CHARACTER, LINES = 5.2, 28
"""How wide and how high text is, in the picture's units."""
LEAST = 5
SEEN = 3


class HotPage(NamedTuple):
    """`tile` is where it lies in the module's."""

    page: int
    asked: int
    tile: Tile


class Hot(NamedTuple):
    """A module, where it lies in the picture, and how well the store does for it: good, fair, bad.

    `pages` are those of its pages that are among the busiest of all.
    """

    module: ModuleKey
    hits: int
    misses: int
    tile: Tile
    does: str
    pages: Sequence[HotPage]

    @property
    def asked(self) -> int:
        return self.hits + self.misses

    @property
    def ratio(self) -> float:
        return self.hits / self.asked

    @property
    def label(self) -> str:
        """As much of the name as there is room for; empty when that is too little."""
        name, room = visible(self.module.debug_file), int((self.tile.width - 8) / CHARACTER)
        if room < LEAST or self.tile.height < LINES:
            return ""
        return name if len(name) <= room else f"{name[: room - 1]}…"

    @property
    def explain(self) -> str:
        return f"/explain/{quote(self.module.debug_file, safe='')}/{quote(self.module.debug_id, safe='')}/"


class Bar(NamedTuple):
    """Keys of less than `top` bytes, and their share of the fullest bar, 0 to 100."""

    top: str
    keys: int
    length: float


def hottest(rows: Sequence[ModuleHits], pages: Sequence[PageRequests]) -> list[Hot]:
    """Those that were asked for most first, which are the largest."""
    tiles = treemap([row.hits + row.misses for row in rows], WIDTH, HEIGHT)
    of_module: dict[ModuleKey, list[PageRequests]] = defaultdict(list)
    for page in pages:
        of_module[page.module].append(page)
    return [_hot(rows[tile.item], tile, of_module[rows[tile.item].module]) for tile in tiles]


def _hot(row: ModuleHits, tile: Tile, pages: Sequence[PageRequests]) -> Hot:
    asked = row.hits + row.misses
    ratio = row.hits / asked
    does = "good" if ratio >= WARM else "fair" if ratio >= COLD else "bad"
    return Hot(*row, _rounded(tile), does, _within(tile, asked, pages))


def _within(tile: Tile, asked: int, pages: Sequence[PageRequests]) -> list[HotPage]:
    """The busiest of its pages, and as much room as all others take; those that can be seen."""
    others = max(0, asked - sum(page.asked for page in pages))
    tiles = treemap([*(page.asked for page in pages), others], tile.width, tile.height)
    return [
        HotPage(pages[each.item].page, pages[each.item].asked, _rounded(each))
        for each in tiles
        if each.item < len(pages) and min(each.width, each.height) >= SEEN
    ]


def _rounded(tile: Tile) -> Tile:
    return Tile(tile.item, *(round(length, 1) for length in tile[1:]))


def bars(entries: Entries) -> list[Bar]:
    most = max((keys for _top, keys in entries.by_size), default=0) or 1
    return [Bar(_binary(top), keys, round(100 * keys / most, 1)) for top, keys in entries.by_size]


def _binary(top: int) -> str:
    return f"{top} B" if top < 1024 else f"{top >> 10} KiB" if top < 1 << 20 else f"{top >> 20} MiB"
