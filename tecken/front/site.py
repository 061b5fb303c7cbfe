"""Tecken itself behind the front, in one web process: what uvicorn imports."""

from __future__ import annotations

from django.conf import settings

from tecken.application import application
from tecken.front.application import Front

front = Front(application, settings.WEB_THREADS)
