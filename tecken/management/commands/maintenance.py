"""Command `maintenance`: close and open the site."""

from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from functools import partial
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from tecken.errors import TeckenError
from tecken.management.command import SiteCommand
from tecken.management.configuration import operator
from tecken.management.text import FORMS, duration, format_time, moment
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import ConfigHead, Level

CLOSED: dict[Level, str] = {
    "full": "the site is under maintenance",
    "uploads": "uploads are closed, downloads and symbolication open",
}


class Command(SiteCommand):
    """Subcommands on, off and status."""

    help = """Close the site, or uploads only, in every process within a second; no database is needed.

With redis-cli alone: `redis-cli -n 2 set is-under-maintenance x`, and `del` ends it. All times are UTC."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the arguments of the command."""
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        on = commands.add_parser("on", help="begin maintenance, or change its details")
        on.add_argument(
            "--message", default="", help="text of the page (default: option maintenance_message)"
        )
        on.add_argument(
            "--retry-after",
            type=duration,
            metavar="TIME",
            help="when clients should retry: 30s (default: at the end, else as configured)",
        )
        on.add_argument(
            "--until",
            type=lambda text: moment(text, timezone.now()),
            metavar="TIME",
            help=f"when it ends: {FORMS} (UTC)",
        )
        on.add_argument("--uploads-only", action="store_true", help=CLOSED["uploads"])
        off = commands.add_parser("off", help="end maintenance of both kinds")
        off.add_argument("--uploads-only", action="store_true", help="open uploads only")
        commands.add_parser("status", help="print what is closed, since when, by whom, until when")

    def handle(self, *, command: str, uploads_only: bool = False, **options: Any) -> None:
        """Run a subcommand, then print the state."""
        current.set_kind("command")
        try:
            if command == "on":
                level: Level = "uploads" if uploads_only else "full"
                message, retry_after, until = (options[key] for key in ("message", "retry_after", "until"))
                service.begin_maintenance(level, message, retry_after, until, operator())
            elif command == "off":
                service.end_maintenance("uploads")
                if not uploads_only:
                    service.end_maintenance("full")
            for line in _lines(current.backend().head()):
                self.stdout.write(line)
        except TeckenError as error:
            raise CommandError(str(error)) from error


def _lines(head: ConfigHead) -> Iterator[str]:
    for level, maintenance in head.levels.items():
        if maintenance is None:
            continue
        until = format_time(maintenance.until) if maintenance.until else "`maintenance off`"
        yield f"{CLOSED[level]} until {until}"
        if maintenance.since is None:
            yield "  set by hand"
            continue
        yield f"  since {format_time(maintenance.since)} by {maintenance.by}"
        if maintenance.message:
            yield f"  message: {maintenance.message}"
        if maintenance.retry_after is not None:
            yield f"  retry after {maintenance.retry_after:g} s"
    if set(head.levels.values()) == {None}:
        yield "no maintenance"
