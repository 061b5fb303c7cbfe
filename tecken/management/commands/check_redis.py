from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from tecken.monitoring.preflight.report import rows
from tecken.monitoring.preflight.verify import verify

MARKS = {"ok": "✓", "warning": "⚠", "error": "❌", "unknown": "-"}


class Command(BaseCommand):
    help = "Check whether the site may start: both Redis servers and what they must be like."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--json", action="store_true", help="for programs")
        parser.add_argument(
            "--wait", type=float, default=0.0, metavar="SECONDS", help="for what may pass by itself (0)"
        )

    def handle(self, **options: Any) -> None:
        """Raises SystemExit when something is wrong: 78 when somebody has to mend it, 75 when it may pass."""
        verdict = verify(options["wait"])
        found = rows(verdict)
        if options["json"]:
            document = {"status": verdict.status, "checks": [row._asdict() for row in found]}
            self.stdout.write(json.dumps(document, indent=2))
        else:
            for row in found:
                self.stdout.write(f"{MARKS[row.level]} {row.id}  {row.server:<11}  {row.text}")
        if verdict.status:
            raise SystemExit(verdict.status)
