"""The site's settings and those of django-constance, for bench.config_read."""

from __future__ import annotations

import os

from tecken.redisclient.urls import database_url
from tecken.settings import *  # noqa: F403
from tecken.settings import REDIS_CA_FILE, REDIS_URL

SYMBOLICATE_MAX_JOBS = 10
CONSTANCE_CONFIG = {"SYMBOLICATE_MAX_JOBS": (10, "Jobs in one request.", int)}
CONSTANCE_BACKEND = f"constance.backends.redisd.{os.environ['CONSTANCE_BACKEND']}"
CONSTANCE_REDIS_CONNECTION = database_url(REDIS_URL, 3, REDIS_CA_FILE)
