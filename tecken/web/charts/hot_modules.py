"""Charts of the store: a treemap of the most requested modules, and the sizes of pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from tecken.store.access_counts import ModuleHits, PageRequests
from tecken.store.miss_ratio import Entries
from tecken.symbols.ids import ObjectId
from tecken.web.charts.svg import Tile, treemap
from tecken.web.formatting import escape_invisible, explanation_address

WIDTH, HEIGHT = 640, 300
# Hit ratios from which a module counts as good, and as fair.
GOOD_RATIO, FAIR_RATIO = 0.95, 0.8
# Width of a character and height of two lines of text, in units of the chart.
CHARACTER_WIDTH, TEXT_HEIGHT = 5.2, 28
MIN_LABEL_CHARACTERS = 5
# Smaller tiles of pages are left out, because they cannot be seen.
MIN_TILE = 3


class HotPage(NamedTuple):
    """Page of a module. `tile` lies inside the tile of the module."""

    page: int
    requests: int
    tile: Tile


class HotModule(NamedTuple):
    """Module in the treemap, coloured by its hit ratio: `grade` is `good`, `fair` or `bad`.

    `pages` are those of its pages that are among the most requested of all.
    """

    module: ObjectId
    hits: int
    misses: int
    tile: Tile
    grade: str
    pages: Sequence[HotPage]

    @property
    def requests(self) -> int:
        """Requests for pages of the module."""
        return self.hits + self.misses

    @property
    def ratio(self) -> float:
        """Share of the requests that the store had."""
        return self.hits / self.requests

    @property
    def label(self) -> str:
        """Name of the module, cut to the width of the tile, or "" if the tile is too small."""
        name, room = escape_invisible(self.module.debug_file), int((self.tile.width - 8) / CHARACTER_WIDTH)
        if room < MIN_LABEL_CHARACTERS or self.tile.height < TEXT_HEIGHT:
            return ""
        return name if len(name) <= room else f"{name[: room - 1]}…"

    @property
    def explain(self) -> str:
        """Address of the page that explains the module."""
        return explanation_address(self.module.debug_file, self.module.debug_id)


class SizeBar(NamedTuple):
    """Bar of the number of keys smaller than `top`. `length` is a percentage of the longest bar."""

    top: str
    keys: int
    length: float


def draw_modules(rows: Sequence[ModuleHits], pages: Sequence[PageRequests]) -> list[HotModule]:
    """Return a treemap of modules, the most requested first; its tiles are the largest."""
    tiles = treemap([row.hits + row.misses for row in rows], WIDTH, HEIGHT)
    pages_of: dict[ObjectId, list[PageRequests]] = defaultdict(list)
    for page in pages:
        pages_of[page.module].append(page)
    return [_hot_module(rows[tile.item], tile, pages_of[rows[tile.item].module]) for tile in tiles]


def _hot_module(row: ModuleHits, tile: Tile, pages: Sequence[PageRequests]) -> HotModule:
    requests = row.hits + row.misses
    ratio = row.hits / requests
    grade = "good" if ratio >= GOOD_RATIO else "fair" if ratio >= FAIR_RATIO else "bad"
    return HotModule(*row, _round_tile(tile), grade, _page_tiles(tile, requests, pages))


def _page_tiles(tile: Tile, requests: int, pages: Sequence[PageRequests]) -> list[HotPage]:
    """Return the tiles of the most requested pages. One tile stands for all others, and is not drawn."""
    others = max(0, requests - sum(page.asked for page in pages))
    tiles = treemap([*(page.asked for page in pages), others], tile.width, tile.height)
    return [
        HotPage(pages[part.item].page, pages[part.item].asked, _round_tile(part))
        for part in tiles
        if part.item < len(pages) and min(part.width, part.height) >= MIN_TILE
    ]


def _round_tile(tile: Tile) -> Tile:
    return Tile(tile.item, *(round(length, 1) for length in tile[1:]))


def size_bars(entries: Entries) -> list[SizeBar]:
    """Return a bar for each range of sizes of keys."""
    most = max((keys for _top, keys in entries.by_size), default=0) or 1
    return [SizeBar(_format_bytes(top), keys, round(100 * keys / most, 1)) for top, keys in entries.by_size]


def _format_bytes(top: int) -> str:
    return f"{top} B" if top < 1024 else f"{top >> 10} KiB" if top < 1 << 20 else f"{top >> 20} MiB"
