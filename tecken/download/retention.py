from __future__ import annotations

from datetime import datetime, timedelta

from tecken.download.models import MissingSymbol
from tecken.runtimeconfig.current import options

BATCH = 10_000


def clean(now: datetime, *, dry_run: bool = False) -> int:
    """How many files were not asked for lately, and are no longer counted as missing."""
    old = MissingSymbol.objects.filter(last_seen__lt=now - timedelta(days=options().keep_missing_days))
    if dry_run:
        return old.count()
    removed = 0
    while some := list(old.order_by("last_seen").values_list("pk", flat=True)[:BATCH]):
        removed += old.filter(pk__in=some).delete()[0]
    return removed


def trim() -> int:
    """Remove the least wanted files beyond `keep_missing_rows`, the oldest first; return their number.

    Names come from strangers, so without a bound they would fill the database.
    """
    excess = MissingSymbol.objects.count() - options().keep_missing_rows
    least = MissingSymbol.objects.order_by("count", "id")
    removed = 0
    while removed < excess:
        some = list(least.values_list("pk", flat=True)[: min(BATCH, excess - removed)])
        if not some:
            break
        removed += MissingSymbol.objects.filter(pk__in=some).delete()[0]
    return removed
