"""Page of the store: its use of memory, its hit ratio, and the memory that a higher ratio would need.

Its charts are a treemap of the most requested modules, the sizes of pages, and the hit ratio by memory, on a
logarithmic axis.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple

import redis
from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import path
from django.views.decorators.http import require_http_methods

from tecken.jobs import sending
from tecken.monitoring.health.measurements import (
    ENOUGH,
    ESTIMATES_OF_2014,
    EVERY_SECONDS,
    RATIOS,
    Sample,
    Sizing,
    compute_rates,
    load_samples,
    load_sizing,
)
from tecken.monitoring.health.panels import ServerPanel, load_panels
from tecken.monitoring.health.status import take_snapshot
from tecken.monitoring.preflight.rules import STORE
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.access_counts import ModuleHits, PageRequests, busiest, busiest_pages
from tecken.store.miss_ratio import Entries
from tecken.symbolication.symbolicated import explanation_address
from tecken.symbols.ids import ObjectId
from tecken.web.auth import OPERATE, Group, SitePage, need, page
from tecken.web.charts import MARKS, Axis, ChartFrame, Tick, Tile, Timeline, draw_timeline, treemap
from tecken.web.formatting import escape_invisible, percent, size
from tecken.web.pages.config import CHANGE, VIEW, user_of
from tecken.web.store_sizes import make_sizes, measure_store

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
    for counted in pages:
        pages_of[counted.module].append(counted)
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


# Hit ratio by memory

# Powers of ten that the axis has below the largest size.
DECADES = 3
# Estimates that are so many times larger than the measured sizes are left out: they would squeeze the curve.
MAX_ESTIMATE_FACTOR = 5
RATIO_MARKS = (0, 0.25, 0.5, 0.75, 0.9, 0.99)


class CurveMark(NamedTuple):
    """Point on the curve with a label."""

    x: float
    y: float
    label: str


class MissRatioChart(NamedTuple):
    """Curve with its axes, and marks for the sizes of interest.

    `needs` are the sizes for the ratios of the table, `present` is the memory limit as it is.
    """

    line: str
    area: str
    across: Sequence[Tick]
    up: Sequence[Tick]
    needs: Sequence[CurveMark]
    present: CurveMark | None
    estimates: Sequence[CurveMark]


class SizingRow(NamedTuple):
    """Bytes of memory for a hit ratio. None: no size is enough, or there is no estimate."""

    ratio: float
    need: int | None
    estimate: int | None


def sizing_rows(sizing: Sizing) -> list[SizingRow]:
    """Return the rows of the table."""
    needs = zip(RATIOS, sizing.needs, strict=True)
    return [SizingRow(ratio, need, ESTIMATES_OF_2014.get(ratio)) for ratio, need in needs]


def draw_curve(sizing: Sizing, maxmemory: int | None) -> MissRatioChart | None:
    """Return the chart, or None for a curve without points."""
    if not sizing.curve.sizes:
        return None
    frame = _make_frame(sizing, maxmemory)
    points = [(math.log10(size), sizing.curve.hit_ratio(size)) for size in _curve_sizes(frame, sizing)]
    line = frame.steps(points)
    return MissRatioChart(
        line,
        f"{line} L{frame.width} {frame.height} L0 {frame.height} Z",
        list(_size_ticks(frame)),
        [Tick(frame.place((frame.x.low, ratio))[1], f"{ratio:.0%}") for ratio in RATIO_MARKS],
        [_mark(frame, row.need, row.ratio) for row in sizing_rows(sizing) if row.need],
        _mark(frame, maxmemory, sizing.curve.hit_ratio(maxmemory)) if maxmemory else None,
        [_mark(frame, size, ratio) for ratio, size in ESTIMATES_OF_2014.items() if _is_inside(frame, size)],
    )


def _make_frame(sizing: Sizing, maxmemory: int | None) -> ChartFrame:
    largest = max(sizing.curve.sizes[-1], maxmemory or 0)
    estimates = [size for size in ESTIMATES_OF_2014.values() if size < MAX_ESTIMATE_FACTOR * largest]
    high = math.log10(max([largest, *estimates]) * 1.3)
    low = min(math.log10(max(sizing.curve.sizes[0], 1)), math.log10(sizing.curve.sizes[-1]) - 1)
    low = max(low, math.log10(sizing.curve.sizes[-1]) - DECADES)
    return ChartFrame(Axis(low, high, ()), Axis(0, 1, RATIO_MARKS), WIDTH, HEIGHT)


def _curve_sizes(frame: ChartFrame, sizing: Sizing) -> Iterator[int]:
    """Yield the sizes of the curve, and those of both edges of the chart."""
    yield round(10**frame.x.low)
    yield from (size for size in sizing.curve.sizes if size > 10**frame.x.low)
    yield round(10**frame.x.high)


def _size_ticks(frame: ChartFrame) -> Iterator[Tick]:
    """Yield ticks at 1, 2 and 5 times powers of ten, or only at the powers on a long axis."""
    steps = (1, 2, 5) if frame.x.high - frame.x.low < 2.5 else (1,)
    for power in range(math.floor(frame.x.low), math.ceil(frame.x.high)):
        for step in steps:
            bytes_ = step * 10**power
            if _is_inside(frame, bytes_):
                yield Tick(frame.place((math.log10(bytes_), 0))[0], size(bytes_).replace(".0", ""))


def _is_inside(frame: ChartFrame, size: float) -> bool:
    return frame.x.low <= math.log10(size) <= frame.x.high


def _mark(frame: ChartFrame, bytes_: int, ratio: float) -> CurveMark:
    x, y = frame.place((max(frame.x.low, math.log10(bytes_)), ratio))
    return CurveMark(x, y, f"{percent(ratio)} with {size(bytes_)}")


# Page

MAX_MODULES, MAX_PAGES, LISTED_PAGES = 40, 100, 20
DEFAULT_HOURS = 24
SIZING_TASK = "tecken.health.tasks.size_store"
SIZING_EXPIRES_SECONDS = 60


class StoreMeasurements(NamedTuple):
    """Measurements of the store, which redis-cache holds."""

    samples: Sequence[Sample]
    sizing: Sizing | None
    modules: Sequence[ModuleHits]
    pages: Sequence[PageRequests]


@page(CHANGE, VIEW)
@require_http_methods(["GET", "HEAD", "POST"])
def show_store(request: HttpRequest) -> HttpResponse:
    """Show the store, or have a worker compute its sizing again. `?hours=` is the period of the charts."""
    if request.method == "POST":
        need(user_of(request), CHANGE)
        sending.send(SIZING_TASK, [], SIZING_EXPIRES_SECONDS)
        messages.success(request, "A worker computes the sizes again. Reload in a few seconds.")
        return redirect("store")
    hours = _parse_hours(request.GET.get("hours", ""))
    context = {"hours": hours, "choices": list(MARKS), **_load_context(hours)}
    return render(request, "store/page.html", {**context, "may_change": user_of(request).has_perm(CHANGE)})


def _parse_hours(text: str) -> int:
    return int(text) if text in map(str, MARKS) else DEFAULT_HOURS


def _load_context(hours: int) -> dict[str, Any]:
    servers, measured = load_panels(), _load_measurements(hours)
    maxmemory = _maxmemory(servers, measured.samples if measured else ())
    has_charts = measured and not settings.DEMO_MODE
    snapshot = take_snapshot()
    found = snapshot.server(STORE)
    store_facts = found.facts if found else None
    return {
        "servers": servers,
        "store": next(server for server in servers if server.server == STORE),
        "problems": [problem for problem in snapshot.problems if problem.server == STORE],
        "maxmemory": maxmemory,
        "has_measurements": measured is not None,
        "charts": _charts(measured.samples, hours, maxmemory) if measured and has_charts else (),
        "pages": measured.pages[:LISTED_PAGES] if measured else (),
        "modules": draw_modules(measured.modules, measured.pages) if measured else (),
        "sizes": make_sizes(
            measured.sizing if measured else None,
            measure_store(store_facts, maxmemory, measured.samples if measured else ()),
        ),
        **_sizing_context(measured.sizing if measured else None, maxmemory),
    }


def _load_measurements(hours: int) -> StoreMeasurements | None:
    """Return the measurements, or None if redis-cache does not respond."""
    counters, cache, now = redis_services.counters_client(), redis_services.cache_client(), time.time()
    try:
        return StoreMeasurements(
            load_samples(counters, int(hours * 3600 / EVERY_SECONDS) + 1),
            load_sizing(counters),
            busiest(cache, MAX_MODULES, now),
            busiest_pages(cache, MAX_PAGES, now),
        )
    except redis.RedisError:
        return None


def _maxmemory(servers: Sequence[ServerPanel], taken: Sequence[Sample]) -> int | None:
    """Return the memory limit of redis-store in bytes, or None if there is none or it is not known.

    While the server does not respond, the newest sample has its last known limit.
    """
    if settings.DEMO_MODE:
        return store_services.DEMO_STORE_BYTES
    present = [server.panel.memory.maximum for server in servers if server.server == STORE and server.panel]
    sampled = [sample.store.maxmemory for sample in reversed(taken) if sample.store]
    return next(iter([*present, *sampled]), 0) or None


def _charts(taken: Sequence[Sample], hours: int, maxmemory: int | None) -> dict[str, Timeline]:
    now, changes = time.time(), list(compute_rates(taken))
    used = [(sample.at, float(sample.store.used) if sample.store else None) for sample in taken]
    hits = [(rate.at, rate.hit_ratio) for rate in changes]
    evictions = [(rate.at, rate.evictions) for rate in changes]
    return {
        "hits": draw_timeline(hits, hours, now, _format_percent, most=1),
        "memory": draw_timeline(used, hours, now, size, limit=maxmemory),
        "evictions": draw_timeline(evictions, hours, now, _format_rate),
    }


def _format_percent(share: float) -> str:
    return percent(share).replace(".0 ", " ")


def _format_rate(number: float) -> str:
    return f"{number:.3g}/s"


def _sizing_context(sizing: Sizing | None, maxmemory: int | None) -> dict[str, Any]:
    if sizing is None:
        return {"sizing": None}
    return {
        "sizing": sizing,
        "enough": ENOUGH,
        "counted": datetime.fromtimestamp(sizing.at, UTC),
        "curve": draw_curve(sizing, maxmemory) if sizing.enough else None,
        "rows": sizing_rows(sizing),
        "present_ratio": sizing.curve.hit_ratio(maxmemory) if maxmemory else None,
        "bars": size_bars(sizing.entries),
    }


PAGE = SitePage(
    title="Store",
    about="See memory and hit ratio, and how much memory is enough.",
    group=Group.OPERATION,
    urls=[path("store/", show_store, name="store")],
    permissions=OPERATE,
)
