"""History of uploads of a site of Mozilla's Tecken: its uploads, with the files that were imported before.

An import of the bucket gives all files to one user. Here they get the uploads, users and dates that they had.
Uploads and rows that retention would remove are left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import islice
from typing import Final, NamedTuple

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Count, F, Q
from django.utils import timezone

from tecken.management.mozilla_tables import MozillaTables, Row, parse_flag, parse_time
from tecken.runtimeconfig.current import options
from tecken.storage.models import NAME_CHARACTERS, SymbolFile
from tecken.symbols.ids import TRY
from tecken.symbols.layouts import ROOT
from tecken.upload.ingest import select_storage
from tecken.upload.models import Protocol, Upload

BATCH: Final = 1_000
NOTE: Final = "upload {} of the former site"


class HistoryCounts(NamedTuple):
    """Numbers of uploads, and of files that were given to them."""

    created: int
    present: int
    left_out: int
    files: int

    def __str__(self) -> str:
        return (
            f"uploads: {self.created:,} created, {self.present:,} already there, {self.left_out:,} left out; "
            f"{self.files:,} files have their own upload"
        )


def import_history(tables: MozillaTables, users: Mapping[str, User]) -> HistoryCounts:
    """Create the uploads of these users, and give them their files. Safe to repeat."""
    created = present = left_out = files = 0
    with tables.read("upload_upload") as rows:
        for batch in _batches(rows):
            new, old, none = _import_uploads(batch, users)
            created, present, left_out = created + new, present + old, left_out + none
    with tables.read("upload_fileupload", optional=True) as rows:
        for batch in _batches(rows):
            files += _give_files(batch)
    _count_files()
    return HistoryCounts(created, present, left_out, files)


def _batches(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while batch := list(islice(rows, BATCH)):
        yield batch


def _import_uploads(batch: Sequence[Row], users: Mapping[str, User]) -> tuple[int, int, int]:
    uploads = [upload for row in batch if (upload := _build(row, users))]
    known = set(_find_uploads(upload.note for upload in uploads))
    new = [upload for upload in uploads if upload.note not in known]
    Upload.objects.bulk_create(new)
    return len(new), len(known), len(batch) - len(uploads)


def _find_uploads(notes: Iterable[str]) -> dict[str, tuple[int, bool]]:
    """Return number and kind of uploads that were created before, by their notes."""
    rows = Upload.objects.filter(note__in=list(notes)).values_list("note", "pk", "try_symbols")
    return {note: (pk, is_try) for note, pk, is_try in rows}


def _build(row: Row, users: Mapping[str, User]) -> Upload | None:
    """Return an upload of this site; None for one that is unfinished, too old, or of a user left out."""
    user, is_try = users.get(row["user_id"]), parse_flag(row["try_symbols"])
    created, completed = parse_time(row["created_at"]), parse_time(row["completed_at"])
    if user is None or created is None or completed is None or created < _keep_from(is_try):
        return None
    return Upload(
        user=user,
        filename=row["filename"][:NAME_CHARACTERS],
        bucket_name=select_storage(is_try).name,
        try_symbols=is_try,
        note=NOTE.format(row["id"]),
        protocol=Protocol.V1,
        size=int(row["size"] or 0),
        download_url=row["download_url"],
        created_at=created,
        completed_at=completed,
    )


def _keep_from(is_try: bool) -> datetime:
    config = options()
    return timezone.now() - timedelta(days=config.keep_try_days if is_try else config.keep_regular_days)


def _give_files(batch: Sequence[Row]) -> int:
    """Give files that an import stored to their uploads; the last of several uploads of a file has it."""
    uploads = _find_uploads({NOTE.format(row["upload_id"]) for row in batch if row["upload_id"]})
    owners: dict[tuple[str, bool], tuple[int, datetime]] = {}
    for row in batch:
        upload, created = uploads.get(NOTE.format(row["upload_id"])), parse_time(row["created_at"])
        if upload and created and created >= _keep_from(upload[1]):
            owners[_path(row["key"]), upload[1]] = upload[0], created
    imported = Q(upload__protocol=Protocol.IMPORT) | Q(upload__note__startswith=NOTE.partition("{")[0])
    rows = SymbolFile.objects.filter(imported, key__in={key for key, _ in owners}, replaced_by=None)
    given = 0
    with transaction.atomic():
        for pk, key, is_try in rows.values_list("pk", "key", "try_symbols"):
            if owner := owners.get((key, is_try)):
                given += SymbolFile.objects.filter(pk=pk).update(upload=owner[0], created_at=owner[1])
    return given


def _path(key: str) -> str:
    """Return the path of a file: early releases wrote it with its prefix, later ones without."""
    return f"{ROOT}/{key.removeprefix(f'{TRY}/').removeprefix(f'{ROOT}/')}"


def _count_files() -> None:
    """Set the numbers of files of the uploads, which had none when they were created."""
    former = Upload.objects.filter(note__startswith=NOTE.partition("{")[0], members_total=0)
    counted = former.annotate(count=Count("files")).filter(count__gt=0).values_list("pk", "count")
    for pk, count in counted.iterator():
        Upload.objects.filter(pk=pk, members_total=F("members_total")).update(
            members_total=count, members_done=count
        )
