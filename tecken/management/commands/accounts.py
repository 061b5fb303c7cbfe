"""Command `accounts`: import the users, groups, tokens and uploads of a site of Mozilla's Tecken."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any, Final

from django.core.management.base import CommandError

from tecken.errors import InvalidInput, Unavailable
from tecken.management.command import SiteCommand
from tecken.management.mozilla_accounts import MozillaAccounts
from tecken.management.mozilla_tables import MozillaTables
from tecken.management.mozilla_uploads import import_history

# Lines about accounts that are left out; expired tokens may be thousands.
MAX_LINES: Final = 50


class Command(SiteCommand):
    """Subcommand import."""

    help = "Import accounts of a site of Mozilla's Tecken, so that its build machines keep their tokens."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        add = commands.add_parser(
            "import",
            help="import users, groups and tokens",
            description="Create the users, groups and tokens of a site of Mozilla's Tecken. A second run "
            "creates only what is missing. Keys of tokens are never printed.",
        )
        source = "postgres:// URL of its database, or a directory with a CSV file for each table"
        add.add_argument("source", metavar="SOURCE", help=source)
        add.add_argument("--dry-run", action="store_true", help="print the numbers and change nothing")
        add.add_argument(
            "--uploads",
            action="store_true",
            help="also create its uploads, and give them the files that `symbols import` has stored",
        )

    def handle(self, *, source: str, dry_run: bool, uploads: bool, **_options: Any) -> None:
        """Import and print the numbers."""
        self._lines = 0
        try:
            tables = MozillaTables(source)
            accounts = MozillaAccounts(tables, self._report)
            for name, count in sorted(accounts.run(dry_run=dry_run).items()):
                self.stdout.write(f"{name}: {count:,}")
            if self._lines > MAX_LINES:
                self.stderr.write(f"and {self._lines - MAX_LINES:,} more")
            if uploads and not dry_run:
                self.stdout.write(str(import_history(tables, accounts.users)))
        except Unavailable as error:
            raise CommandError(f"{error}; run the command again", returncode=75) from error
        except KeyError as error:
            raise CommandError(f"a table has no column {error}: is it that of Tecken?") from error
        except (InvalidInput, ValueError) as error:
            raise CommandError(str(error)) from error

    def _report(self, line: str) -> None:
        self._lines += 1
        if self._lines <= MAX_LINES:
            self.stderr.write(line)
