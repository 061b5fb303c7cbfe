"""Modules whose symbols came from upstreams: their records, and their removal.

A worker records each of them before it writes the page file. An upload of the same module deletes the record,
so that the page file stays for as long as the upload. What is removed is fetched again when it is needed.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db import Error
from django.db.models import Count, QuerySet, Sum
from django.utils import timezone

from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.models import NAME_CHARACTERS, FetchedModule
from tecken.storage.port import FetchedText, NativeText
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.conversion.page_file_builder import Converted
from tecken.symbols.formats import format_of
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileType

logger = logging.getLogger(__name__)
BATCH: Final = 500
NAMES: Final = ("debug_id", "debug_file")
FACTS: Final = (
    *("code_file", "code_id", "upstream", "format"),
    *("received_size", "stored_size", "fetched_at"),
)


class FetchedTotal(NamedTuple):
    """Number of modules, and the bytes of their page files."""

    modules: int = 0
    bytes: int = 0


class UpstreamTotal(NamedTuple):
    """Modules of one upstream; `received` are the bytes that it has sent, `stored` those of page files."""

    upstream: str
    modules: int
    received: int
    stored: int


class FetchedRecords:
    """Records that conversions write, in one statement each. Without the database there is no record.

    `symbols fsck` finds the page file of such a module.
    """

    def note(self, module: ObjectId, text: FetchedText, converted: Converted) -> None:
        """Record a module of an upstream, before its page file is written. Raises nothing."""
        native = text.text if isinstance(text.text, NativeText) and text.text.format else None
        symbol_file_format = format_of(FileType.SYMBOL_FILE)
        assert symbol_file_format
        metadata = converted.header.metadata
        row = FetchedModule(
            debug_file=module.name,
            debug_id=module.debug_id,
            code_file=_column(metadata.code_file, NAME_CHARACTERS),
            code_id=_column(metadata.code_id, 128),
            upstream=text.upstream,
            format=native.format if native else symbol_file_format.name,
            received_size=native.size if native else text.received,
            stored_size=converted.size,
            fetched_at=timezone.now(),
        )
        try:
            FetchedModule.objects.bulk_create(
                [row], update_conflicts=True, unique_fields=NAMES, update_fields=FACTS
            )
        except Error as error:
            logger.warning(
                "%s: cannot record that it was fetched: %s; symbols fsck will find it", module, error
            )

    def forget(self, module: ObjectId) -> None:
        """Delete the record of a module that was uploaded. Raises nothing."""
        try:
            forget([module])
        except Error as error:
            logger.warning("%s: cannot delete its record: %s; its retention will", module, error)


def _column(text: str, characters: int) -> str:
    """Return text from a foreign file that a column can have. PostgreSQL cannot store NUL."""
    return text.replace("\0", "")[:characters]


def forget(modules: Collection[ObjectId]) -> None:
    """Delete the records of modules that were uploaded."""
    for module in modules:
        FetchedModule.objects.filter(debug_id=module.debug_id, debug_file=module.name).delete()


def fetched_names(some_ids: Collection[str]) -> set[ObjectId]:
    """Return the modules of upstreams that were requested by one of these ids."""
    rows = FetchedModule.objects.filter(debug_id__in=some_ids)
    return {ObjectId(*name) for name in rows.values_list("debug_file", "debug_id")}


def total(rows: QuerySet[FetchedModule]) -> FetchedTotal:
    """Return the totals of rows."""
    return FetchedTotal(**rows.aggregate(modules=Count("pk"), bytes=Sum("stored_size", default=0)))


def totals_of_upstreams(rows: QuerySet[FetchedModule]) -> list[UpstreamTotal]:
    """Return the totals of rows by upstream, the largest first."""
    per_upstream = (
        rows.order_by()
        .values("upstream")
        .annotate(modules=Count("pk"), received=Sum("received_size"), stored=Sum("stored_size"))
    )
    return [UpstreamTotal(**amounts) for amounts in per_upstream.order_by("-stored", "upstream")]


def remove(row: FetchedModule) -> None:
    """Remove the page file of a module, unless the module was uploaded, and its record.

    Safe to repeat. Raises Unavailable.
    """
    module = ObjectId(row.debug_file, row.debug_id)
    if storage_services.own_stamp(module) is None:
        symbolication_services.remove_derived(module)
    # A worker that fetches the module at this moment has written another time, and its page file stays.
    FetchedModule.objects.filter(pk=row.pk, fetched_at=row.fetched_at).delete()


def remove_all(rows: QuerySet[FetchedModule]) -> FetchedTotal:
    """Remove modules in batches, the oldest first, and return their totals. Raises Unavailable."""
    removed = FetchedTotal()
    last = 0
    ordered = rows.order_by("pk")
    while batch := list(ordered.filter(pk__gt=last)[:BATCH]):
        for row in batch:
            remove(row)
        last = batch[-1].pk
        size = sum(row.stored_size for row in batch)
        removed = FetchedTotal(removed.modules + len(batch), removed.bytes + size)
    return removed


def remove_old(now: datetime, *, dry_run: bool = False) -> FetchedTotal:
    """Remove modules that were fetched more than `keep_fetched_days` ago, and return their totals.

    Raises Unavailable when a server does not answer; the next run continues.
    """
    before = now - timedelta(days=options().keep_fetched_days)
    old = FetchedModule.objects.filter(fetched_at__lt=before)
    return total(old) if dry_run else remove_all(old)
