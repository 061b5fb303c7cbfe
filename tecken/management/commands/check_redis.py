"""Command `check_redis`: report every check of the preflight."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from tecken.management.command import SiteCommand
from tecken.monitoring.preflight.startup import build_report, run_preflight

MARKS = {"ok": "✓", "warning": "⚠", "error": "❌", "unknown": "-"}


class Command(SiteCommand):
    """Report of all checks, with the exit status of a start."""

    help = "Check whether the site may start: the settings and both Redis servers."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Add the options of the command."""
        parser.add_argument("--json", action="store_true", help="print JSON")
        parser.add_argument(
            "--wait",
            type=float,
            default=0.0,
            metavar="SECONDS",
            help="repeat the checks for so long while every error may pass by itself (0)",
        )

    def handle(self, **options: Any) -> None:
        """Print the report.

        Raises:
            SystemExit: With 78 when a person has to act, 75 when every error may pass by itself.
        """
        result = run_preflight(options["wait"])
        rows = build_report(result)
        if options["json"]:
            document = {"status": result.status, "checks": [row._asdict() for row in rows]}
            self.stdout.write(json.dumps(document, indent=2))
        else:
            for row in rows:
                self.stdout.write(f"{MARKS[row.level]} {row.id}  {row.server:<11}  {row.text}")
        if result.status:
            raise SystemExit(result.status)
