"""Command `store`: statistics and sizing of the symbol store."""

from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import redis
from django.core.management.base import CommandError

from tecken.management.command import SiteCommand
from tecken.management.text import size
from tecken.monitoring.health.measurements import ENOUGH, ESTIMATES_OF_2014, RATIOS, Sizing, compute_sizing
from tecken.monitoring.preflight.rules import fetch_facts
from tecken.redisclient import services as redis_services
from tecken.store import services as store_services
from tecken.store.advice import StoreFacts, advise
from tecken.store.page_store import StoreStats, read_stats

SCAN_SECONDS = 2.0


class Command(SiteCommand):
    """Subcommands curve and stats."""

    help = "Print statistics of the symbol store, redis-store, or the size that it needs."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser(
            "curve",
            help="print the memory that each hit ratio needs, from recent accesses",
            description="Print the figures of the page /store/. docs/redis.md explains them.",
        )
        commands.add_parser(
            "stats",
            help="print hit ratio, bytes, keys, evictions and modules",
            description="Hits, misses and evictions are counted from the start of the server.",
        )

    def handle(self, *, command: str, **_options: Any) -> None:
        """Run a subcommand."""
        for line in _curve_lines() if command == "curve" else _stats_lines(_read_stats()):
            self.stdout.write(line)


def _read_stats() -> StoreStats:
    try:
        return read_stats(store_services.store_client(), SCAN_SECONDS)
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"the symbol store does not answer: {error}") from error


def _curve_lines() -> Iterator[str]:
    try:
        sizing = compute_sizing(redis_services.counters_client())
    except (redis.RedisError, OSError) as error:
        raise CommandError(f"redis-cache does not answer: {error}") from error
    return _sizing_lines(sizing, _read_facts())


def _read_facts() -> StoreFacts | None:
    """Return the facts of the store, or None if it does not answer."""
    try:
        found = fetch_facts(store_services.store_client())
    except (redis.RedisError, OSError):
        return None
    return StoreFacts(found.maxmemory, found.used_memory, found.nodes, found.system_memory)


def _sizing_lines(sizing: Sizing, facts: StoreFacts | None) -> Iterator[str]:
    accesses = f"{sizing.curve.accesses:,} accesses, of which {sizing.curve.sampled:,} were sampled"
    if not sizing.enough:
        yield f"too few accesses so far: {accesses}; {ENOUGH:,} are needed"
        return
    if facts:
        yield f"advice    {advise(sizing.curve, ENOUGH, facts).text}"
        yield ""
    yield "hits    memory    estimate of 2014"
    for ratio, need in zip(RATIOS, sizing.needs, strict=True):
        estimate = ESTIMATES_OF_2014.get(ratio)
        row = (f"{ratio:.0%}", size(need) if need else "no size", size(estimate) if estimate else "-")
        yield "{:<8}{:<10}{}".format(*row)
    yield ""
    if facts and facts.maxmemory:
        yield f"now       {sizing.curve.hit_ratio(facts.maxmemory):.1%} with {size(facts.maxmemory)}"
    yield f"at most   {sizing.curve.best:.1%}: the rest are first requests"
    yield f"all       {size(sizing.entries.size)} in {sizing.entries.keys:,} keys"
    yield f"from      {accesses}"


def _stats_lines(stats: StoreStats) -> Iterator[str]:
    lookups = stats.hits + stats.misses
    ratio = f"{stats.hit_ratio:.1%}" if lookups else "-"
    full = f"{stats.used / stats.maxmemory:.0%} of {size(stats.maxmemory)}" if stats.maxmemory else "no limit"
    yield f"hit ratio   {ratio} ({stats.hits:,} of {lookups:,} requested keys)"
    yield f"memory      {size(stats.used)}, {full}, {stats.policy}"
    yield f"keys        {stats.keys:,}"
    yield f"evictions   {stats.evicted:,}"
    yield f"modules     {'' if stats.modules_exact else 'about '}{stats.modules:,}"
    yield f"page        {size(stats.page_size)} on average"
