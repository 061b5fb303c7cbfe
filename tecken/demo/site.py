"""What the web process of a demo does besides."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from celery import Celery
from django.conf import settings
from django.core.management import call_command
from django.http import HttpRequest

from tecken.demo import alone, worker

WARNINGS = ("Using in-memory counters (DEMO_MODE)", "Using in-memory queue (DEMO_MODE)")


def start(app: Celery, home: Path) -> None:
    """Raises SystemExit in a second process; `home` is a directory that they share."""
    if not alone.claim(home):
        print(f"❌ Demo mode refused: another process has {home}, and a demo is one process", file=sys.stderr)
        raise SystemExit(os.EX_CONFIG)
    call_command("migrate", verbosity=0)
    worker.start(app)


def banner(_request: HttpRequest) -> dict[str, tuple[str, ...]]:
    """For every page."""
    return {"demo_mode": WARNINGS if settings.DEMO_MODE else ()}
