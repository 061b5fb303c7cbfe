"""Retention of missing symbols: removal of old rows, and of the least requested beyond a number."""

from __future__ import annotations

from datetime import datetime, timedelta

from tecken.download.models import MissingSymbol
from tecken.runtimeconfig.current import options

BATCH = 10_000


def clean(now: datetime, *, dry_run: bool = False) -> int:
    """Remove files that have not been requested for `keep_missing_days`, and return their number."""
    old = MissingSymbol.objects.filter(last_seen__lt=now - timedelta(days=options().keep_missing_days))
    if dry_run:
        return old.count()
    removed = 0
    # In batches, because one DELETE of all rows would block other writers for as long as it runs.
    while batch := list(old.order_by("last_seen").values_list("pk", flat=True)[:BATCH]):
        removed += old.filter(pk__in=batch).delete()[0]
    return removed


def trim() -> int:
    """Remove the least requested files beyond `keep_missing_rows`, the oldest first; return their number."""
    # Anyone can request any name, so without a bound strangers could fill the database.
    excess = MissingSymbol.objects.count() - options().keep_missing_rows
    least = MissingSymbol.objects.order_by("count", "id")
    removed = 0
    while removed < excess:
        batch = list(least.values_list("pk", flat=True)[: min(BATCH, excess - removed)])
        if not batch:
            break
        removed += MissingSymbol.objects.filter(pk__in=batch).delete()[0]
    return removed
