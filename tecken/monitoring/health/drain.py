"""Whether this site is about to end: then it answers, and asks for no new requests.

A file says so, whoever makes it: `python -m run.web` when it is told to end, or a hook of Kubernetes.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings


def is_draining() -> bool:
    return bool(settings.DRAIN_FILE) and Path(settings.DRAIN_FILE).exists()
