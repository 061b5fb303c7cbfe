"""The WSGI entry point for a web server other than `tecken.front`.

Such a server must itself protect the site from slow clients. The preflight runs first in each of its
processes, because no other process has run it before.
"""

from __future__ import annotations

import os

from tecken.monitoring.preflight.startup import check_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
check_start()

from tecken.application import application  # noqa: E402 - built only after the preflight has passed

__all__ = ["application"]
