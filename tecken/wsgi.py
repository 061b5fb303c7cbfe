"""The WSGI entry for another web server than ours, which must itself protect the site from slow clients."""

from __future__ import annotations

import os

from tecken.monitoring.preflight.startup import check_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
check_start()

from tecken.application import application  # noqa: E402 - only a site that may start is built

__all__ = ["application"]
