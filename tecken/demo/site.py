"""Additional work of a demo's web process."""

from __future__ import annotations

import logging
import os
import sys
from io import StringIO
from pathlib import Path

from celery import Celery
from django.conf import settings
from django.core.management import CommandError, call_command
from django.http import HttpRequest

from tecken.demo import alone, worker

logger = logging.getLogger(__name__)
WARNINGS = ("Using in-memory counters (DEMO_MODE)", "Using in-memory queue (DEMO_MODE)")


def start(app: Celery, home: Path) -> None:
    """Raises SystemExit in a second process; `home` is a directory that they share."""
    if not alone.claim(home):
        print(f"❌ Demo mode refused: another process has {home}, and a demo is one process", file=sys.stderr)
        raise SystemExit(os.EX_CONFIG)
    call_command("migrate", verbosity=0)
    add_samples(Path(settings.BASE_DIR) / "tests" / "data" / "samples")
    worker.start(app)


def add_samples(directory: Path) -> None:
    """Store the modules that the example of the home page needs; an installation may lack the files."""
    if directory.is_dir():
        try:
            call_command("symbols", "add", str(directory), stdout=StringIO(), stderr=StringIO())
        except CommandError as error:
            logger.warning("Cannot store the samples: %s; the home page shows no example", error)


def banner(_request: HttpRequest) -> dict[str, tuple[str, ...]]:
    """Return the warnings that every page shows."""
    return {"demo_mode": WARNINGS if settings.DEMO_MODE else ()}
