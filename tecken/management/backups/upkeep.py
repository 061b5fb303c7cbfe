"""Checks of the backups at a destination, and the removal of old ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import islice
from typing import NamedTuple

from tqdm import tqdm

from tecken.errors import Malformed, NotFound
from tecken.management.backups.archive import BackupArchive, FileEntry, Manifest
from tecken.management.backups.storage_copy import COPIERS, PENDING, FileIndex


class BackupFinding(NamedTuple):
    """Line about a backup, and whether it is a problem."""

    text: str
    is_problem: bool = False


def check_all(archive: BackupArchive) -> Iterator[BackupFinding]:
    """Read everything that the destination has, and compare it with the manifests. Raises Unavailable."""
    complete, incomplete = archive.names()
    for name in incomplete:
        yield BackupFinding(f"{name}: incomplete: the next backup continues it, and no restore uses it")
    if not complete:
        yield BackupFinding(f"{archive.bucket.name} has no complete backup", is_problem=True)
    with closing(FileIndex()) as objects, closing(FileIndex()) as checked:
        objects.load_objects(archive)
        for name in complete:
            problems = [str(error) for error in _check_backup(archive, name, objects, checked)]
            yield from (BackupFinding(f"{name}: {problem}", is_problem=True) for problem in problems)
            if not problems:
                yield BackupFinding(f"{name}: intact")


def find_damage(archive: BackupArchive, manifest: Manifest, objects: FileIndex) -> Iterator[Malformed]:
    """Yield what is wrong with a backup, without reading its objects. Raises Unavailable."""
    for part in manifest.parts:
        try:
            archive.check(manifest.name, part)
        except Malformed as error:
            yield error
    for entry in _entries(archive, manifest):
        if (problem := _missing(entry, objects)) is not None:
            yield problem


def _check_backup(
    archive: BackupArchive, name: str, objects: FileIndex, checked: FileIndex
) -> Iterator[Malformed]:
    try:
        manifest = archive.manifest(name)
    except Malformed as error:
        yield error
        return
    yield from find_damage(archive, manifest, objects)
    # Each object is read once, however many backups have it.
    unread = (
        entry for entry in _entries(archive, manifest) if entry.data is None and not checked.find(entry)
    )
    with (
        ThreadPoolExecutor(COPIERS) as pool,
        tqdm(total=manifest.bytes, unit="B", unit_scale=True, leave=False, disable=None) as progress,
    ):
        while batch := list(islice(unread, PENDING)):
            errors = pool.map(lambda entry: _check_object(archive, entry), batch)
            yield from filter(None, errors)
            progress.update(sum(entry.size for entry in batch))
            checked.add(batch)
            checked.add_objects((entry.object_name, entry.size) for entry in batch)


def _entries(archive: BackupArchive, manifest: Manifest) -> Iterator[FileEntry]:
    """Yield the files of a backup; of a damaged list, those before the damage."""
    for part in manifest.file_parts():
        try:
            yield from archive.file_lines(manifest.name, part)
        except Malformed:
            continue


def _missing(entry: FileEntry, objects: FileIndex) -> Malformed | None:
    if entry.data is not None or (found := objects.object_size(entry.object_name)) == entry.size:
        return None
    what = "missing" if found is None else f"{found:,} bytes, not {entry.size:,}"
    return Malformed(f"{entry.object_name}: {what}: the content of {entry.path}")


def _check_object(archive: BackupArchive, entry: FileEntry) -> Malformed | None:
    digest = hashlib.sha256()
    try:
        for chunk in archive.bucket.chunks(archive.bucket.get(entry.object_name)):
            digest.update(chunk)
    except NotFound:
        # `find_damage` has reported it.
        return None
    if digest.hexdigest() == entry.sha256:
        return None
    return Malformed(f"{entry.object_name}: damaged: the content of {entry.path} has another SHA-256")


def prune(archive: BackupArchive, keep: int) -> str:
    """Remove all complete backups but the last `keep`, and the objects that only they have.

    Returns:
        A line about the removed ones.
    """
    complete, incomplete = archive.names()
    former = complete[:-keep]
    for name in former:
        archive.remove(name)
    removed = 0
    with closing(FileIndex()) as known:
        for name in [*complete[-keep:], *incomplete]:
            # A damaged list must not make the objects of its files look unused.
            known.load_lists(archive, name, is_strict=True)
        known.load_objects(archive)
        for path in known.unused_objects():
            archive.bucket.delete(path)
            removed += 1
    return f"removed {len(former)} backups and {removed:,} objects"
