from __future__ import annotations

from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

import redis
from django.core.management.base import BaseCommand, CommandError

from tecken import wiring
from tecken.management.text import size
from tecken.store.stats import StoreStats, read_stats

SCAN_SECONDS = 2.0


class Command(BaseCommand):
    help = "Look at the symbol store, the LRU Redis."

    def add_arguments(self, parser: ArgumentParser) -> None:
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        commands.add_parser(
            "stats",
            help="hit ratio, bytes, keys, evictions, modules",
            description="Hits, misses and evictions count since the server's start.",
        )

    def handle(self, **_options: Any) -> None:
        try:
            stats = read_stats(wiring.store_client(), SCAN_SECONDS)
        except (redis.RedisError, OSError) as error:
            raise CommandError(f"the symbol store does not answer: {error}") from error
        for line in _lines(stats):
            self.stdout.write(line)


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
