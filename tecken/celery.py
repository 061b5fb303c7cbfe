"""The worker's entrance: `celery -A tecken worker`, and that of `celery -A tecken beat`."""

from __future__ import annotations

import os

from celery import Celery

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")

import tecken.jobs.signals
import tecken.jobs.transport
import tecken.logs.jobs  # noqa: F401 - as above
import tecken.telemetry  # noqa: F401 - as above

app = Celery("tecken", task_cls="tecken.jobs.task:Job")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "tecken.download",
        "tecken.jobs",
        "tecken.limits",
        "tecken.runtimeconfig",
        "tecken.symbolicate",
        "tecken.upload",
    ]
)
app.steps["consumer"].add("tecken.jobs.pause:Pause")
app.steps["worker"].add("tecken.jobs.heartbeat:Heartbeat")
app.set_default()  # `current_app` is per thread: a web server's threads would see another app without this
