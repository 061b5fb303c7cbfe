"""Near misses of a module: other builds of its debug file that are stored."""

from __future__ import annotations

from typing import NamedTuple

from django.db.models import QuerySet

from tecken.symbols.ids import ModuleKey
from tecken.upload.models import FileUpload

GUID_DIGITS = 32
# A build may have several files, and may have been uploaded more than once.
ROWS = 100
SHOWN = 5


class NearMisses(NamedTuple):
    """`ages` have the same GUID, `builds` another one; `has_builds` tells of unlisted ones, too."""

    ages: list[ModuleKey]
    builds: list[ModuleKey]
    has_builds: bool


def near_misses(debug_file: str, debug_id: str, *, names: bool) -> NearMisses:
    """Find regular builds in two queries of at most ROWS rows of an index, the last uploaded first.

    Files are public for those who know their id, so ids with another GUID are listed with `names` only.
    """
    files = FileUpload.objects.filter(debug_file=debug_file, completed_at__isnull=False, try_symbols=False)
    guid = debug_id[:GUID_DIGITS]
    # Behind the GUID there are hex digits, all of which come before a G.
    ages = files.filter(debug_id__gte=guid, debug_id__lt=f"{guid}G") if guid else files.none()
    same = _modules(debug_file, ages)
    others = [
        module for module in _modules(debug_file, files) if not guid or not module.debug_id.startswith(guid)
    ]
    return NearMisses(
        [module for module in same if module.debug_id != debug_id][:SHOWN],
        others[:SHOWN] if names else [],
        bool(others),
    )


def _modules(debug_file: str, files: QuerySet[FileUpload]) -> list[ModuleKey]:
    """Each once, the newest first of the first ROWS: to sort all rows of a file would have no bound."""
    rows = sorted(files.order_by("debug_id").values_list("pk", "debug_id")[:ROWS], reverse=True)
    return [ModuleKey(debug_file, debug_id) for debug_id in dict.fromkeys(row[1] for row in rows) if debug_id]
