"""Whose pages are asked for, and how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote

from tecken.missratio.entries import Entries
from tecken.store.tally import Row
from tecken.symbols.ids import ModuleKey
from tecken.web.charts import Tile, treemap
from tecken.web.templatetags.texts import visible

WIDTH, HEIGHT = 640, 300
WARM, COLD = 0.95, 0.8
CHARACTER, LINES = 5.2, 28
"""How wide and how high text is, in the picture's units."""
LEAST = 5


class Hot(NamedTuple):
    """A module, where it lies in the picture, and how well the store does for it: good, fair, bad."""

    module: ModuleKey
    hits: int
    misses: int
    tile: Tile
    does: str

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


def hottest(rows: Sequence[Row]) -> list[Hot]:
    """Those that were asked for most first, which are the largest."""
    tiles = treemap([row.hits + row.misses for row in rows], WIDTH, HEIGHT)
    return [_hot(rows[tile.item], tile) for tile in tiles]


def _hot(row: Row, tile: Tile) -> Hot:
    ratio = row.hits / (row.hits + row.misses)
    does = "good" if ratio >= WARM else "fair" if ratio >= COLD else "bad"
    return Hot(*row, Tile(tile.item, *(round(length, 1) for length in tile[1:])), does)


def bars(entries: Entries) -> list[Bar]:
    most = max((keys for _top, keys in entries.by_size), default=0) or 1
    return [Bar(_binary(top), keys, round(100 * keys / most, 1)) for top, keys in entries.by_size]


def _binary(top: int) -> str:
    return f"{top} B" if top < 1024 else f"{top >> 10} KiB" if top < 1 << 20 else f"{top >> 20} MiB"
