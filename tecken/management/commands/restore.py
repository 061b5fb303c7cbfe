"""Command `restore`: replace database, storage and redis-cache by a backup."""

from __future__ import annotations

import os
from argparse import ArgumentParser
from contextlib import closing
from typing import Any

import redis
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import Error
from tqdm import tqdm

from tecken.errors import InvalidInput, Malformed, TeckenError, Unavailable
from tecken.management.backups import database_copy, restoring
from tecken.management.backups.archive import BackupArchive, Manifest
from tecken.management.backups.storage_copy import STORAGE, FileIndex, open_places
from tecken.management.backups.upkeep import find_damage
from tecken.management.command import SiteCommand
from tecken.management.text import size
from tecken.storage.disk import Volume, measure

# Checks of `doctor` that fail while the site is stopped.
OF_PROCESSES = ("workers", "beat", "round-trip")
ONLY_WARNINGS = 3


class Command(SiteCommand):
    """Restore of the site, whose processes are stopped."""

    help = (
        "Restore the newest complete backup of a directory or bucket. Stop web servers, workers and beat "
        "first. The backup may be of an older release, which is migrated, and of other servers and another "
        "bucket. Exit status: 0 restored, 75 a server did not answer, 1 anything else."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument(
            "source", metavar="DIRECTORY", help="directory, or URL of a bucket, that `backup` wrote to"
        )
        parser.add_argument("--name", metavar="NAME", help="this backup, default: the newest complete one")
        parser.add_argument(
            "--replace",
            action="store_true",
            help="replace what database and redis-cache have, and files of the same names; other files stay",
        )

    def handle(self, *, source: str, name: str | None, replace: bool, **_options: Any) -> None:
        """Restore a backup."""
        if settings.DEMO_MODE:
            raise CommandError(
                "a demo cannot be restored: its Redis servers are in the memory of its process"
            )
        try:
            archive = BackupArchive.open(source)
            with archive.lock():
                manifest = self._choose(archive, name)
                self._check(archive, manifest, replace=replace)
                self._restore(archive, manifest)
        except (Unavailable, redis.RedisError, Error) as error:
            text = f"{error}; run the command again with --replace"
            raise CommandError(text, returncode=os.EX_TEMPFAIL) from error
        except (TeckenError, OSError) as error:
            raise CommandError(str(error)) from error

    def _choose(self, archive: BackupArchive, name: str | None) -> Manifest:
        complete, incomplete = archive.names()
        if name in incomplete:
            raise InvalidInput(f"{name} is incomplete and cannot be restored")
        if not complete or (name and name not in complete):
            raise InvalidInput(f"{archive.bucket.name} has no complete backup{f' {name}' if name else ''}")
        chosen = name or complete[-1]
        for later in (later for later in incomplete if later > chosen):
            self.stderr.write(f"warning: {later} is incomplete and not used")
        return archive.manifest(chosen)

    def _check(self, archive: BackupArchive, manifest: Manifest, *, replace: bool) -> None:
        """Raise an error for everything that would end the restore later."""
        restoring.check_release(manifest)
        database_copy.check_programs()
        restoring.wait_for_processes(self.stdout.write)
        if not replace and (found := restoring.find_data()):
            raise InvalidInput(f"not empty: {', '.join(found)}. Empty what has data, or add --replace")
        with closing(FileIndex()) as objects:
            objects.load_objects(archive)
            problems = list(find_damage(archive, manifest, objects))
        if problems:
            raise Malformed(
                "\n".join([*map(str, problems[:20]), f"{len(problems)} problems: nothing was restored"])
            )
        directory = open_places()[STORAGE].directory
        space = measure(Volume("storage", directory)) if directory and not replace else None
        if space and (why := space.why_no_room_for(manifest.bytes)):
            raise InvalidInput(why)

    def _restore(self, archive: BackupArchive, manifest: Manifest) -> None:
        self.stdout.write(f"restoring {manifest.name}: {manifest.files:,} files of {size(manifest.bytes)}")
        self.stdout.flush()
        with tqdm(total=manifest.bytes, unit="B", unit_scale=True, leave=False, disable=None) as progress:
            files = restoring.FileRestore(archive, manifest, progress.update)
            files.run()
        # Without a database no process of the site works, so an interrupted restore is noticed.
        restoring.restore_database(archive, manifest)
        files.update_rows()
        entries = restoring.restore_redis(archive, manifest)
        self.stdout.write(
            f"restored the database, and {entries:,} entries of redis-cache; emptied both caches"
        )
        call_command("symbols", "fsck", "--repair", stdout=self.stdout, stderr=self.stderr)
        self._examine()

    def _examine(self) -> None:
        """Run the checks of `doctor` that need no processes. Raises CommandError if one fails."""
        try:
            call_command("doctor", "--skip", *OF_PROCESSES, stdout=self.stdout, stderr=self.stderr)
        except SystemExit as end:
            if end.code != ONLY_WARNINGS:
                raise CommandError(
                    "the backup is restored, and doctor has found what has to be corrected"
                ) from end
