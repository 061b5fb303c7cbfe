"""Command `cleanup`: apply the retention rules now."""

from __future__ import annotations

from argparse import ArgumentParser

from django.core.management.base import CommandError
from django.utils import timezone

from tecken.download import missing as missing_symbols
from tecken.errors import Unavailable
from tecken.management.command import SiteCommand
from tecken.symbolication import fetched as fetched_symbols
from tecken.symbolication.crash_dumps import retention as dump_retention
from tecken.upload.retention import Retention


class Command(SiteCommand):
    """Removal of everything that has been kept for long enough."""

    help = (
        "Remove uploads, staged files, symbols of upstreams, minidumps and missing symbols past their "
        "retention (options keep_*_days and minidump_keep_seconds)."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.add_argument(
            "--dry-run", action="store_true", help="print what would be removed, and remove nothing"
        )

    def handle(self, *, dry_run: bool, **_options: object) -> None:
        """Remove old data and print the numbers."""
        now = timezone.now()
        try:
            removed = Retention(now, dry_run=dry_run).run()
            fetched = fetched_symbols.remove_old(now, dry_run=dry_run)
            dumps = dump_retention.remove_old(now, dry_run=dry_run)
        except Unavailable as error:
            raise CommandError(f"{error}; the next run continues from here") from error
        missing = missing_symbols.remove_old(now, dry_run=dry_run)
        verb = "would be removed" if dry_run else "removed"
        self.stdout.write(
            f"{verb}: {removed.files:,} files of {removed.bytes:,} bytes, "
            f"{removed.rows:,} of their rows, {removed.uploads:,} uploads, {removed.staged:,} staged files, "
            f"{fetched.modules:,} modules of upstreams of {fetched.bytes:,} bytes, "
            f"{dumps.dumps:,} minidumps and {dumps.reports:,} of their reports of {dumps.bytes:,} bytes, "
            f"{missing:,} missing symbols"
        )
