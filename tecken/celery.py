"""The worker's entrance: `celery -A tecken worker`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")

app = Celery("tecken")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tecken.download", "tecken.runtimeconfig", "tecken.symbolicate", "tecken.upload"])
app.set_default()  # `current_app` is per thread: a web server's threads would see another app without this
