"""Modules of an upload that were requested before it, and that no source had.

They are found when the upload is complete. Requests of the last minute are not in the database by then, so
the modules are found once more after each write of the counts, for uploads of the last minutes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from django.db.models import F, Max, Value
from django.db.models.functions import Coalesce, NullIf

from tecken.download.models import MissingSymbol
from tecken.errors import Unavailable
from tecken.storage import services as storage_services
from tecken.storage.former_misses import watched_id
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import GUID_DIGITS, is_zero_debug_id
from tecken.upload.models import Upload

NAMES: Final = ("debug_file", "debug_id", "native_id", "code_file", "code_id", "build_id")
KINDS: Final = ("symbolications", "debuginfod", "symsrv")
# Modules of an upload that are kept in its row, the most requested ones.
MAX_MODULES: Final = 1_000
# Names under which requests for a module are watched.
MAX_NAMES: Final = 8
# Ids of one query, and rows that it reads: an id may have been requested with any number of names.
BATCH: Final = 500
MAX_ROWS: Final = 5_000
MODULE_ID: Final = Coalesce(NullIf(F("native_id"), Value("")), F("debug_id"))
# Time from a request until its count is in the database, with room for a worker that is busy.
COUNTED_WITHIN: Final = timedelta(minutes=2)
# Uploads whose modules are found again after a write of counts.
RECENT: Final = timedelta(minutes=3)
MAX_RECENT: Final = 30


class ResolvedModule(NamedTuple):
    """Module with the number of its requests, those of each kind, and the ids under which they were made."""

    debug_file: str
    debug_id: str
    requests: int
    symbolications: int
    debuginfod: int
    symsrv: int
    ids: list[str]


class ResolvedReport(NamedTuple):
    """Modules of an upload that were missing before, with the time of each one's last use since.

    `uses` is None while redis-cache does not answer. The numbers are those of `modules`.
    """

    modules: list[ResolvedModule]
    uses: dict[str, datetime] | None

    def last_use(self, module: ResolvedModule) -> datetime | None:
        """Return when a module was last symbolicated or downloaded."""
        uses = self.uses or {}
        return max((uses[some_id] for some_id in module.ids if some_id in uses), default=None)

    @property
    def used_count(self) -> int | None:
        """Number of modules that were used since; None if it is not known."""
        if self.uses is None:
            return None
        return sum(self.last_use(module) is not None for module in self.modules)


def modules_of(upload: Upload) -> list[ResolvedModule]:
    """Return the modules that `note_resolved` has found, the most requested first."""
    return [ResolvedModule(*values) for values in upload.resolved]


def count_requests(modules: Sequence[ResolvedModule]) -> dict[str, int]:
    """Return the number of modules, and of their requests: all, and each kind among them."""
    requests = {kind: sum(getattr(module, kind) for module in modules) for kind in ("requests", *KINDS)}
    return {"modules": len(modules), **requests}


def load_report(upload: Upload) -> ResolvedReport:
    """Return the report of an upload, in one round trip to redis-cache."""
    modules = modules_of(upload)
    try:
        uses = storage_services.former_misses().last_uses([name for module in modules for name in module.ids])
    except Unavailable:
        return ResolvedReport(modules, None)
    return ResolvedReport(modules, uses)


def count_modules(upload: Upload) -> int:
    """Return the number of modules whose files an upload has stored."""
    stored = upload.files.filter(completed_at__isnull=False).order_by()
    return stored.values(module=MODULE_ID).distinct().count()


def note_resolved(upload: Upload) -> None:
    """Find the modules of an upload that were missing before it, and have their uses watched.

    Safe to repeat: numbers that were found before never become smaller.
    """
    found = find_resolved(upload)
    former = modules_of(upload)
    if sum(module.requests for module in found) <= sum(module.requests for module in former):
        return
    upload.resolved, upload.resolved_modules = found, len(found)
    Upload.objects.filter(pk=upload.pk).update(resolved=found, resolved_modules=len(found))
    storage_services.former_misses().watch([some_id for module in found for some_id in module.ids])


def note_recent(now: datetime) -> None:
    """Do the same for the uploads of the last minutes, after counts were written."""
    recent = Upload.objects.filter(completed_at__gte=now - RECENT, created_at__gte=now - timedelta(days=1))
    for upload in recent.order_by("-created_at")[:MAX_RECENT]:
        note_resolved(upload)


# The search for the modules


def find_resolved(upload: Upload) -> list[ResolvedModule]:
    """Return the modules of an upload that were missing before it, the most requested first.

    A file that replaced another one does not count, and neither do requests from before an earlier upload
    that had a file of the module. Most requests do not look at files of try builds, so these resolve nothing.
    """
    if upload.try_symbols:
        return []
    modules: defaultdict[str, list[SymbolFile]] = defaultdict(list)
    files = upload.files.filter(completed_at__isnull=False, update=False).only(*NAMES)
    for file in files.order_by("pk"):
        modules[file.native_id or file.debug_id].append(file)
    missed = _find_missed(modules)
    former = _find_former_times(upload, missed)
    found = (
        _describe(modules[module_id][0], module_id, rows, former.get(module_id))
        for module_id, rows in missed.items()
    )
    ordered = sorted(filter(None, found), key=lambda module: (-module.requests, module.debug_file))
    return ordered[:MAX_MODULES]


def _find_missed(modules: dict[str, list[SymbolFile]]) -> dict[str, list[MissingSymbol]]:
    """Return the rows of missing symbols that are about these modules, by module id."""
    owners = {
        some_id: module_id
        for module_id, files in modules.items()
        for file in files
        for some_id in _ids_of(file)
    }
    missed: defaultdict[str, list[MissingSymbol]] = defaultdict(list)
    for row in _read_missing(list(owners)):
        owner = owners.get(row.debug_id.upper()) or owners.get(row.code_id.upper())
        if owner and any(_has_name(file, row) for file in modules[owner]):
            missed[owner].append(row)
    return missed


def _ids_of(file: SymbolFile) -> set[str]:
    """Return the ids under which a file's module may be requested, in upper case."""
    ids = {some_id.upper() for some_id in (file.debug_id, file.native_id, file.code_id, file.build_id)}
    return {some_id for some_id in ids if some_id and not is_zero_debug_id(some_id)}


def _read_missing(ids: Sequence[str]) -> Iterator[MissingSymbol]:
    seen = set()
    for start in range(0, len(ids), BATCH):
        batch = ids[start : start + BATCH]
        # Two queries, because each column has its own index. Code ids are as their client wrote them.
        rows = [
            *MissingSymbol.objects.filter(debug_id__in=batch)[:MAX_ROWS],
            *MissingSymbol.objects.filter(code_id__in=[*batch, *map(str.lower, batch)])[:MAX_ROWS],
        ]
        for row in rows:
            if row.pk not in seen:
                seen.add(row.pk)
                yield row


def _has_name(file: SymbolFile, row: MissingSymbol) -> bool:
    """Return whether a request was about a file's module: short ids are unique together with a name only."""
    if max(len(row.debug_id), len(row.code_id)) >= GUID_DIGITS:
        return True
    name = (row.debug_file or row.code_file).lower()
    return name in ("", file.debug_file.lower(), file.code_file.lower())


def _find_former_times(upload: Upload, module_ids: Collection[str]) -> dict[str, datetime]:
    """Return when a file of each module was last stored before this upload."""
    times: dict[str, datetime] = {}
    ids = list(module_ids)
    stored = SymbolFile.objects.filter(completed_at__lt=upload.created_at, try_symbols=False)
    for start in range(0, len(ids), BATCH):
        for column in ("native_id", "debug_id"):
            rows = stored.filter(**{f"{column}__in": ids[start : start + BATCH]}).order_by()
            for some_id, time in rows.values_list(column).annotate(Max("completed_at")):
                times[some_id] = max(time, times.get(some_id, time))
    return times


def _describe(
    file: SymbolFile, module_id: str, rows: Sequence[MissingSymbol], former: datetime | None
) -> ResolvedModule | None:
    """Return a module with its requests since its former file, None without any."""
    counted = [row for row in rows if former is None or row.last_seen > former + COUNTED_WITHIN]
    if not counted:
        return None
    ids = {
        watched_id(row.debug_file or row.code_file, row.debug_id or row.code_id): None
        for row in sorted(counted, key=lambda row: -row.count)
    }
    requests, symbolications, debuginfod, symsrv = (
        sum(getattr(row, kind) for row in counted) for kind in ("count", *KINDS)
    )
    watched = dict.fromkeys([watched_id(file.debug_file, module_id), *ids])
    return ResolvedModule(
        file.debug_file,
        module_id,
        requests,
        symbolications,
        debuginfod,
        symsrv,
        list(watched)[:MAX_NAMES],
    )
