"""The web server's entrance: `granian --interface wsgi tecken.wsgi:application`."""

from __future__ import annotations

import os

from tecken.servers.entrance import entrance

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
entrance()

from tecken.application import application  # noqa: E402 - only a site that may start is built

__all__ = ["application"]
