"""Command `backup`: copy database, storage and redis-cache, or compare a backup with its manifest."""

from __future__ import annotations

import os
from argparse import ArgumentParser, ArgumentTypeError
from contextlib import closing
from typing import Any

import redis
from django.conf import settings
from django.core.management.base import CommandError
from django.db import Error
from django.utils import timezone
from tqdm import tqdm

from tecken import __version__
from tecken.errors import InvalidInput, TeckenError, Unavailable
from tecken.management.backups import database_copy
from tecken.management.backups.archive import (
    DATABASE,
    FORMAT,
    REDIS_CACHE,
    BackupArchive,
    Manifest,
    pack_lines,
)
from tecken.management.backups.redis_copy import RedisCopy
from tecken.management.backups.storage_copy import (
    CopyCounts,
    FileIndex,
    StorageCopy,
    list_files,
    open_places,
    staged_sources,
    stored_sources,
)
from tecken.management.backups.upkeep import check_all, prune
from tecken.management.command import SiteCommand
from tecken.management.text import size
from tecken.storage.disk import Volume, measure


class Command(SiteCommand):
    """Backup of the site, which continues to serve."""

    help = (
        "Copy database, uploaded files and redis-cache to a directory or bucket while the site runs. "
        "Files that an earlier backup there has are not copied again, also those of an interrupted one. "
        "Exit status: 0 complete, 75 a server did not answer (run it again to continue), 1 anything else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        place = "directory, or URL of a bucket such as s3://bucket/prefix, for all backups of this site"
        parser.add_argument("destination", metavar="DIRECTORY", help=place)
        parser.add_argument(
            "--verify",
            action="store_true",
            help="make no backup; read all that are there, and compare hashes",
        )
        parser.add_argument(
            "--with-page-files",
            action="store_true",
            dest="page_files",
            help="also copy page files, which are made again when they are needed",
        )
        parser.add_argument(
            "--keep",
            type=_positive,
            metavar="N",
            help="remove all complete backups but the last N afterwards",
        )

    def handle(
        self, *, destination: str, verify: bool, page_files: bool, keep: int | None, **_options: Any
    ) -> None:
        """Make or verify a backup."""
        if settings.DEMO_MODE:
            raise CommandError(
                "a demo has nothing to back up: its Redis servers are in the memory of its process"
            )
        try:
            archive = BackupArchive.open(destination)
            with archive.lock():
                if verify:
                    self._verify(archive)
                    return
                self._back_up(archive, page_files=page_files)
                if keep is not None:
                    self.stdout.write(prune(archive, keep))
        except (Unavailable, redis.RedisError, Error) as error:
            text = f"{error}; run the command again to continue"
            raise CommandError(text, returncode=os.EX_TEMPFAIL) from error
        except (TeckenError, OSError) as error:
            raise CommandError(str(error)) from error

    def _back_up(self, archive: BackupArchive, *, page_files: bool) -> None:
        database_copy.check_programs()
        name = archive.new_name()
        with closing(FileIndex()) as known:
            complete, incomplete = archive.names()
            for earlier in [*complete[-1:], *incomplete]:
                known.load_lists(archive, earlier)
            known.load_objects(archive)
            new = self._count_new(archive, known, page_files=page_files)
            with tqdm(
                total=new.copied_bytes, unit="B", unit_scale=True, leave=False, disable=None
            ) as progress:
                copy = StorageCopy(archive, name, known, progress.update)
                # The order is explained in tecken.management.backups.
                copy.run(staged_sources())
                cache = archive.put(name, REDIS_CACHE, pack_lines(RedisCopy().read()))
                migrations = database_copy.applied_migrations()
                database = archive.put(name, DATABASE, database_copy.dump())
                copy.run(stored_sources(page_files=page_files))
        # The kernel may write the manifest before the files that it describes.
        os.sync()
        archive.complete(
            Manifest(
                format=FORMAT,
                name=name,
                release=__version__,
                completed=timezone.now().isoformat(timespec="seconds"),
                engine=database_copy.engine(),
                migrations=migrations,
                places={place: bucket.name for place, bucket in open_places().items()},
                page_files=page_files,
                files=copy.counts.files,
                bytes=copy.counts.bytes,
                parts=[cache, database, *copy.parts],
            )
        )
        for earlier in incomplete:
            archive.remove(earlier)
        self._report(name, copy.counts)

    def _count_new(self, archive: BackupArchive, known: FileIndex, *, page_files: bool) -> CopyCounts:
        """Count the files to copy. Raises InvalidInput if the directory has no room for them."""
        counts = CopyCounts()
        for entry in list_files([*staged_sources(), *stored_sources(page_files=page_files)]):
            counts = counts.plus(entry, is_copied=known.find(entry) is None)
        needed = counts.copied_bytes + database_copy.estimate()
        if archive.bucket.directory is not None:
            space = measure(Volume("the_backup", archive.bucket.directory))
            if space and (why := space.why_no_room_for(needed)):
                raise InvalidInput(why)
        self.stdout.write(
            f"{counts.files:,} files of {size(counts.bytes)}, to copy: "
            f"{counts.copied_files:,} of {size(counts.copied_bytes)}"
        )
        self.stdout.flush()
        return counts

    def _report(self, name: str, counts: CopyCounts) -> None:
        removed = f", {counts.removed:,} removed meanwhile" if counts.removed else ""
        self.stdout.write(
            f"backup {name} is complete: {counts.files:,} files of {size(counts.bytes)}, copied "
            f"{counts.copied_files:,} of {size(counts.copied_bytes)}{removed}"
        )

    def _verify(self, archive: BackupArchive) -> None:
        problems = 0
        for line, is_problem in check_all(archive):
            problems += is_problem
            with tqdm.external_write_mode():
                (self.stderr if is_problem else self.stdout).write(line)
        if problems:
            raise CommandError(f"{problems} problem{'s' * (problems != 1)}")


def _positive(digits: str) -> int:
    if not (digits.isascii() and digits.isdigit() and int(digits) > 0):
        raise ArgumentTypeError(f"{digits!r} should be a whole number above 0")
    return int(digits)
