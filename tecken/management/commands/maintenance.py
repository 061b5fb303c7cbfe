from __future__ import annotations

from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator
from datetime import datetime
from functools import partial
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from tecken.errors import TeckenError
from tecken.management.operator import operator
from tecken.management.times import FORMS, moment, shown, span
from tecken.runtimeconfig import current, service
from tecken.runtimeconfig.backend import ConfigHead, Level
from tecken.runtimeconfig.maintenance import parse

WHAT: dict[Level, str] = {
    "full": "the site is under maintenance",
    "uploads": "uploads are closed, downloads and symbolication open",
}


class Command(BaseCommand):
    help = """Close the site, or uploads only, in every process within a second; no database is needed.

With redis-cli alone: `redis-cli -n 2 set is-under-maintenance x`, and `del` ends it. All times are UTC."""
    requires_system_checks = ()  # the database may be what is being mended

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.formatter_class = partial(RawDescriptionHelpFormatter, max_help_position=24)
        commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
        on = commands.add_parser("on", help="begin; once more changes what it says")
        on.add_argument(
            "--message", default="", help="what the page says (default: option maintenance_message)"
        )
        on.add_argument(
            "--retry-after",
            type=span,
            metavar="TIME",
            help="when clients should ask again: 30s (default: at the end, else as configured)",
        )
        on.add_argument("--until", type=_moment, metavar="TIME", help=f"it ends by itself: {FORMS} (UTC)")
        on.add_argument("--uploads-only", action="store_true", help=WHAT["uploads"])
        off = commands.add_parser("off", help="end it, of both kinds")
        off.add_argument("--uploads-only", action="store_true", help="open uploads, and end nothing else")
        commands.add_parser("status", help="what is on, since when, by whom, until when")

    def handle(self, *, command: str, **options: Any) -> None:
        current.kind("command")
        try:
            getattr(self, f"_{command}")(**options)
        except TeckenError as error:
            raise CommandError(str(error)) from error

    def _on(
        self,
        *,
        message: str,
        retry_after: float | None,
        until: datetime | None,
        uploads_only: bool,
        **_options: Any,
    ) -> None:
        level: Level = "uploads" if uploads_only else "full"
        service.begin_maintenance(level, message, retry_after, until, operator())
        self._status()

    def _off(self, *, uploads_only: bool, **_options: Any) -> None:
        levels: tuple[Level, ...] = ("uploads",) if uploads_only else ("full", "uploads")
        for level in levels:
            service.end_maintenance(level)
        self._status()

    def _status(self, **_options: Any) -> None:
        for line in _lines(current.backend().head()):
            self.stdout.write(line)


def _lines(head: ConfigHead) -> Iterator[str]:
    texts: dict[Level, str | None] = {"full": head.maintenance, "uploads": head.uploads_closed}
    for level, text in texts.items():
        if text is not None:
            yield f"{WHAT[level]}{_until(text)}"
            yield from _details(text)
    if set(texts.values()) == {None}:
        yield "no maintenance"


def _until(text: str) -> str:
    until = parse(text).until
    return f" until {shown(until)}" if until else " until `maintenance off`"


def _details(text: str) -> Iterator[str]:
    said = parse(text)
    if said.since is None:
        yield "  set by hand"
        return
    yield f"  since {shown(said.since)} by {said.by}"
    if said.message:
        yield f"  message: {said.message}"
    if said.retry_after is not None:
        yield f"  retry after {said.retry_after:g} s"


def _moment(text: str) -> datetime:
    return moment(text, timezone.now())
