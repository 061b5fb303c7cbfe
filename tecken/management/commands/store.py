from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from tecken.management.text import size
from tecken.monitoring.health.sizing import ENOUGH, ESTIMATES_OF_2014, RATIOS, Sizing, compute_sizing
from tecken.monitoring.preflight.facts import fetch_facts
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.stats import StoreStats, read_stats

SCAN_SECONDS = 2.0


class Command(BaseCommand):
    help = "Look at the symbol store, the LRU Redis."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser(
            "curve",
            help="how large the store must be, by what it was asked lately",
            description="Counts what the page /store/ shows. docs/redis.md says how to read it.",
        )
        commands.add_parser(
            "stats",
            help="hit ratio, bytes, keys, evictions, modules",
            description="Hits, misses and evictions count since the server's start.",
        )

    def handle(self, *, command: str, **_options: Any) -> None:
        told = _curve() if command == "curve" else _lines(_stats())
        for line in told:
            self.stdout.write(line)


def _stats() -> StoreStats:
    try:
        return read_stats(store_services.store_client(), SCAN_SECONDS)
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"the symbol store does not answer: {error}") from error


def _curve() -> Iterator[str]:
    try:
        now = compute_sizing(redis_services.counters_client())
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"redis-cache does not answer: {error}") from error
    return _sizing_lines(now, _maxmemory())


def _maxmemory() -> int | None:
    """None when the store does not answer, and without a limit."""
    try:
        return fetch_facts(store_services.store_client()).maxmemory or None
    except (redis.RedisError, OSError):
        return None


def _sizing_lines(now: Sizing, maxmemory: int | None) -> Iterator[str]:
    asked = f"{now.curve.accesses:,} accesses, of which {now.curve.sampled:,} were looked at"
    if not now.enough:
        yield f"not enough was asked for yet: {asked}; it takes {ENOUGH:,}"
        return
    yield "hits    memory    estimate of 2014"
    for ratio, need in zip(RATIOS, now.needs, strict=True):
        estimate = ESTIMATES_OF_2014.get(ratio)
        row = (f"{ratio:.0%}", size(need) if need else "no size", size(estimate) if estimate else "-")
        yield "{:<8}{:<10}{}".format(*row)
    yield ""
    if maxmemory:
        yield f"as it is  {now.curve.hit_ratio(maxmemory):.1%} with {size(maxmemory)}"
    yield f"at most   {now.curve.best:.1%}: the rest was asked for the first time"
    yield f"all       {size(now.entries.size)} in {now.entries.keys:,} keys"
    yield f"from      {asked}"


def _lines(stats: StoreStats) -> Iterator[str]:
    asked = stats.hits + stats.misses
    ratio = f"{stats.hit_ratio:.1%}" if asked else "-"
    full = f"{stats.used / stats.maxmemory:.0%} of {size(stats.maxmemory)}" if stats.maxmemory else "no limit"
    yield f"hit ratio   {ratio} ({stats.hits:,} of {asked:,} keys asked for)"
    yield f"memory      {size(stats.used)}, {full}, {stats.policy}"
    yield f"keys        {stats.keys:,}"
    yield f"evictions   {stats.evicted:,}"
    yield f"modules     {'' if stats.modules_exact else 'about '}{stats.modules:,}"
    yield f"page        {size(stats.page_size)} on average"
