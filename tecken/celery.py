"""Entry point of `celery -A tecken worker` and of `celery -A tecken beat`."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from celery import Celery
from celery.signals import beat_init, celeryd_init

from tecken.monitoring.preflight.startup import check_start

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")


NO_EMBEDDED_BEAT = (
    "❌ Configuration validation failed: a worker cannot run beat (--beat, -B); "
    "start beat as a process of its own: celery -A tecken beat"
)


@celeryd_init.connect  # type: ignore[untyped-decorator]
def refuse_beat(options: Mapping[str, object] | None = None, **_more: object) -> None:
    """End a worker that was started with a beat inside.

    billiard closes the open files of the process that it forks for beat, among them those of the metrics.
    Such a beat prints tracebacks and never follows the runtime configuration.
    """
    if (options or {}).get("beat"):
        print(NO_EMBEDDED_BEAT, file=sys.stderr, flush=True)
        raise SystemExit(os.EX_CONFIG)


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def enter(**_more: object) -> None:
    """Before all else that is connected. Of what could be raised here Celery lets only SystemExit through."""
    check_start(web=False)


import tecken.jobs.signals  # noqa: E402 - only then the others
import tecken.jobs.transport  # noqa: E402 - registers the transports
import tecken.monitoring.logs.context  # noqa: E402 - as above
import tecken.monitoring.telemetry  # noqa: E402, F401 - as above

app = Celery("tecken", task_cls="tecken.jobs.task:Job")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(
    [
        "tecken.download",
        "tecken.monitoring.health",
        "tecken.jobs",
        "tecken.limits",
        "tecken.runtimeconfig",
        "tecken.symbolication",
        "tecken.upload",
    ]
)
app.steps["consumer"].add("tecken.jobs.consumer:Pause")
app.steps["worker"].add("tecken.jobs.heartbeat:Heartbeat")
app.set_default()  # `current_app` is per thread: a web server's threads would see another app without this
