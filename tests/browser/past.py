"""A day that never was, so that pictures of a site that has just started have something to draw."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import replace
from itertools import accumulate
from random import Random

import redis

from tecken.jobs.keys import QUEUES
from tecken.jobs.records import Records
from tecken.monitoring.health import measurements
from tecken.monitoring.health.measurements import Sample, ServerSample
from tecken.redisclient.guard import RedisGuard
from tecken.store.access_counts import EVERY_SECONDS, SEND_SECONDS, AccessSample, HitCounts
from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId
from tests.browser.site import DEVELOPER, GIVEN_UP, OPERATOR, SYM, WRITE_MISSES, BrowsedSite, archive_of
from tests.support.clock import Clock

DAY = 86_400
MAXMEMORY = 500 * 2**20  # bytes, as docker/images/redis/redis.conf has it
FILES = (
    *("xul.pdb", "libxul.so", "XUL", "ntdll.pdb", "kernel32.pdb", "mozglue.pdb", "libc.so.6", "libGLESv2.so"),
    *("nss3.pdb", "user32.pdb", "combase.pdb", "d3d11.pdb", "libsystem_pthread.dylib", "igd10iumd64.pdb"),
    *("nvwgf2umx.pdb", "firefox.pdb", "lgpllibs.pdb", "libmozsandbox.so", "AppKit", "ucrtbase.pdb"),
)
OS = "windows x86_64"
UPLOADS = {
    "firefox-win64.zip": ("xul.pdb", "mozglue.pdb", "firefox.pdb", "nss3.pdb", "lgpllibs.pdb"),
    "firefox-linux-x86_64.zip": ("libxul.so", "libmozsandbox.so", "firefox"),
    "firefox-macos.zip": ("XUL", "libmozglue.dylib"),
    "graphics-drivers.zip": ("igd10iumd64.pdb", "nvwgf2umx.pdb"),
}
KILLED = "It was started 3 times, and its process ended each time"
PAGES = 13_000  # of all modules together
ASKED = 1_600_000  # pages; in BATCHES requests
BATCHES = 2000
HELD = 12_000  # pages that the store really has


def make(site: BrowsedSite) -> None:
    people(site)
    servers(site)


def people(site: BrowsedSite) -> None:
    """What they sent, asked for, changed, and what went wrong."""
    for number, (name, modules) in enumerate(UPLOADS.items()):
        text = SYM.read_text().partition("\n")[2]
        members = {}
        for file in modules:
            debug_id = f"{Random(f'{name}{file}').randrange(16**32):032X}1"
            members[f"{file}/{debug_id}/{file.removesuffix('.pdb')}.sym"] = (
                f"MODULE {OS} {debug_id} {file}\n{text}"
            )
        site.upload(archive_of(members), name, (DEVELOPER, OPERATOR)[number % 2])
    for number, file in enumerate(FILES[3:17]):
        for _ in range(40 // (number + 1)):
            site.miss(f"{file}/{Random(file).randrange(16**32):032X}1")
    site.run(WRITE_MISSES)
    site.manage(
        "config", "set", "symbolicate_max_jobs", "20", "--why", "larger batches from the crash pipeline"
    )
    site.manage("config", "set", "process_page_bytes", "128MiB", "--why", "web servers have the memory now")
    site.bury(
        replace(GIVEN_UP, id="7d0f", task="tecken.symbolicate.tasks.prepare", queue="convert", why=KILLED)
    )


def servers(site: BrowsedSite) -> None:
    random = Random(2014)
    url = site.cache.url.removesuffix("0")
    with (
        redis.Redis.from_url(f"{url}0") as cache,
        redis.Redis.from_url(f"{url}1") as queue,
        redis.Redis.from_url(f"{url}3") as counters,
        redis.Redis.from_url(site.store.url) as store,
    ):
        use(cache, counters, random)
        fill(store, random)
        counters.set(measurements.SIZING_KEY, json.dumps(measurements.compute_sizing(counters)))
        samples = [json.dumps(sample) for sample in a_day(random, time.time())]
        counters.delete(measurements.SERIES_KEY)
        counters.rpush(measurements.SERIES_KEY, *samples)
        for number, name in enumerate(QUEUES):
            Records(queue).canary(name, 0.02 + number / 50)


def a_day(random: Random, now: float) -> Iterator[Sample]:
    """Busy in the evening; a release at noon that the store has not seen, and a burst of uploads now."""
    times = [now - DAY + number * measurements.EVERY_SECONDS for number in range(1, measurements.KEPT + 1)]
    rates = [_rate(at, random) for at in times]
    ratios = [0.955 - 0.25 * _after(at - times[0], 9 * 3600, 2400) + random.gauss(0, 0.004) for at in times]
    asked = [int(rate * 28 * measurements.EVERY_SECONDS) for rate in rates]
    hits = accumulate(int(number * ratio) for number, ratio in zip(asked, ratios, strict=True))
    misses = accumulate(int(number * (1 - ratio)) for number, ratio in zip(asked, ratios, strict=True))
    evicted = accumulate(int(number * (1 - ratio) * 0.6) for number, ratio in zip(asked, ratios, strict=True))
    requests = 0
    for at, rate, *told in zip(times, rates, hits, misses, evicted, strict=True):
        requests = (
            0 if at % DAY < measurements.EVERY_SECONDS else requests + int(rate * measurements.EVERY_SECONDS)
        )
        burst = _after(at - times[0], 23.4 * 3600, 400)
        queued = int(60 * burst + (random.randrange(2, 9) if random.random() < 0.03 else 0))
        store = ServerSample(int(MAXMEMORY * (0.93 + 0.05 * math.sin(at / 9000))), MAXMEMORY, 14, *told)
        cache = ServerSample(21_000_000 + int(queued * 40_000), 0, 31, told[0] // 9, told[0] // 300, 0)
        yield Sample(at, cache, store, requests, queued, 0.02 + 4 * burst + random.random() / 30)


def _rate(at: float, random: Random) -> float:
    """Requests a second."""
    return max(2.0, 34 + 22 * math.sin((at % DAY) / DAY * math.tau - 2.2) + random.gauss(0, 2.5))


def _after(at: float, event: float, seconds: float) -> float:
    """1 at the event, and less and less from there."""
    return math.exp(-(at - event) / seconds) if at >= event else 0.0


def use(cache: redis.Redis, counters: redis.Redis, random: Random) -> None:
    """Few pages are asked for often, most now and then."""
    clock, guard = Clock(), RedisGuard("redis-cache")
    tally, accesses = HitCounts(cache, guard, clock), AccessSample(counters, guard, clock)
    pages = [PageKey(module(random), "0123456789abcdef", number) for number in range(PAGES)]
    sizes = [int(random.lognormvariate(10.4, 0.7)) for _ in pages]
    weights = list(accumulate(1 / (rank + 8) ** 0.95 for rank in range(PAGES)))
    begin = clock.now = time.time() - BATCHES * 2 * EVERY_SECONDS
    for batch in range(BATCHES):
        clock.now = begin + (batch + 1) * 2 * EVERY_SECONDS
        chosen = random.choices(range(PAGES), cum_weights=weights, k=ASKED // BATCHES)
        accesses.note((f"{pages[one]}", sizes[one]) for one in chosen)
        tally.note([pages[one] for one in chosen], {pages[one] for one in chosen if random.random() < 0.95})
    assert SEND_SECONDS < EVERY_SECONDS


def module(random: Random) -> ObjectId:
    """The first ones more often; of each file three versions are about."""
    file = FILES[min(int(random.expovariate(0.22)), len(FILES) - 1)]
    return ObjectId(file, f"{Random(f'{file}{random.randrange(3)}').randrange(16**32):032X}1")


def fill(store: redis.Redis, random: Random) -> None:
    """Of 25 reads one finds nothing."""
    with store.pipeline(transaction=False) as pipeline:
        for number in range(HELD):
            name = f":1:symbol:xul.pdb/PAST/0/{number}"
            pipeline.set(name, random.randbytes(32_000))
            for read in [name] * 24 + [f"{name}/none"]:
                pipeline.strlen(read)
            if number % 500 == 499:
                pipeline.execute()
