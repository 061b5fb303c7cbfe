from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tecken.download import retention as misses
from tecken.errors import CouldNotAsk
from tecken.upload.retention import Retention


class Command(BaseCommand):
    help = "Remove uploads, staged files and missing symbols that are older than they are kept (KEEP_*_DAYS)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--dry-run", action="store_true", help="say what would be removed, and remove nothing"
        )

    def handle(self, *, dry_run: bool, **_options: object) -> None:
        now = timezone.now()
        try:
            removed = Retention(now, dry_run=dry_run).run()
        except CouldNotAsk as error:
            raise CommandError(f"{error}; the next run goes on from here") from error
        missing = misses.clean(now, dry_run=dry_run)
        done = "would be removed" if dry_run else "removed"
        self.stdout.write(
            f"{done}: {removed.files:,} files of {removed.bytes:,} bytes, "
            f"{removed.rows:,} of their rows, {removed.uploads:,} uploads, {removed.staged:,} staged files, "
            f"{missing:,} missing symbols"
        )
