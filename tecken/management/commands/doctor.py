"""Command `doctor`: check the whole site, with a round trip of a debug file."""

from __future__ import annotations

import json
import logging
import signal
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from textwrap import fill
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

# Its import sets the current app, with which the site's code sends jobs.
import tecken.celery  # noqa: F401
from tecken.doctor.checks import CheckResult, wait_for_threads
from tecken.doctor.report import (
    CHECK_IDS,
    ROUND_TRIP_SECONDS,
    build_document,
    check_url,
    diagnose,
    find_status,
)
from tecken.doctor.visitor import stop_requests
from tecken.errors import InvalidInput
from tecken.management.command import SiteCommand

MARKS = {"ok": "✓", "warning": "⚠", "failed": "❌", "skipped": "-"}
STYLES = {"ok": "SUCCESS", "warning": "WARNING", "failed": "ERROR", "skipped": "HTTP_INFO"}
# As shells report a process that SIGINT ended.
INTERRUPTED = 130
EPILOG = f"""\
checks: {fill(", ".join(CHECK_IDS), 96, subsequent_indent="        ")}

exit status:
   0  no check has failed or warns
   3  at least one check warns, and none has failed
  75  checks have failed, and each failure may pass by itself: run the command again
  78  a check has failed, and a person has to act
   2  wrong usage
"""


class Command(SiteCommand):
    """Report of all checks of the doctor."""

    help = "Check the whole site: servers, processes, proxies, and a round trip of a small debug file."

    def create_parser(self, *names: Any, **options: Any) -> Any:
        """Return the parser, whose epilog keeps its lines."""
        parser = super().create_parser(*names, **options)
        parser.formatter_class = RawDescriptionHelpFormatter
        parser.epilog = EPILOG
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of the command."""
        parser.add_argument(
            "--url",
            default=settings.TECKEN_URL,
            help="public URL of the site; default: TECKEN_URL. Without one, requests go to the code in this "
            "process, and proxies and TLS are not checked",
        )
        parser.add_argument("--json", action="store_true", help="print JSON (docs/health.md)")
        parser.add_argument(
            "--skip",
            action="extend",
            nargs="+",
            default=[],
            choices=CHECK_IDS,
            metavar="CHECK",
            help="leave out these checks",
        )

    def handle(self, **options: Any) -> None:
        """Run the checks and print each as soon as it is over.

        Raises:
            CommandError: The URL is malformed.
            SystemExit: With the status of the run, unless it is 0.
        """
        try:
            url = check_url(options["url"]) if options["url"] else ""
        except InvalidInput as error:
            raise CommandError(f"--url: {error}", returncode=2) from error
        # It logs each request.
        logging.getLogger("httpx").setLevel(logging.WARNING)
        results, started = [], datetime.now(UTC)
        with _interrupted_by_sigterm():
            try:
                for result in diagnose(url, options["skip"]):
                    results.append(result)
                    if not options["json"]:
                        self._print(result)
            except KeyboardInterrupt:
                self._stop()
        document = build_document(url, started, results)
        if options["json"]:
            self.stdout.write(json.dumps(document, indent=2))
        else:
            self._summarise(document)
        if status := find_status(results):
            raise SystemExit(status)

    def _stop(self) -> None:
        """End the process when the round trip has removed its file and its account."""
        self.stderr.write("Interrupted: removing the debug file and the account; Ctrl-C again ends at once")
        stop_requests()
        wait_for_threads(ROUND_TRIP_SECONDS)
        raise SystemExit(INTERRUPTED)

    def _print(self, result: CheckResult) -> None:
        finding = result.finding
        style = getattr(self.style, STYLES[finding.level])
        self.stdout.write(f"{style(MARKS[finding.level])} {result.check.id:<12} {finding.text}")
        if finding.next:
            self.stdout.write(f"{'':<14} → {finding.next}")
        self.stdout.flush()

    def _summarise(self, document: Mapping[str, Any]) -> None:
        counts = dict.fromkeys(MARKS, 0)
        for check in document["checks"]:
            counts[check["result"]] += 1
        parts = ", ".join(f"{number} {level}" for level, number in counts.items() if number)
        self.stdout.write(f"{parts}; {document['seconds']:.1f} s")


@contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Let SIGTERM raise KeyboardInterrupt, as Ctrl-C does."""
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
