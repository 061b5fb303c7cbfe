"""The Celery app: entry point of `celery -A tecken worker` and of `celery -A tecken beat`."""

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
    """Refuse to start a worker that would run beat, too.

    billiard closes the open files of the process that it forks for beat, among them those of the metrics.
    Such a beat prints tracebacks and never receives changes of the runtime configuration.
    """
    if (options or {}).get("beat"):
        print(NO_EMBEDDED_BEAT, file=sys.stderr, flush=True)
        raise SystemExit(os.EX_CONFIG)


@celeryd_init.connect  # type: ignore[untyped-decorator]
@beat_init.connect  # type: ignore[untyped-decorator]
def run_preflight(**_more: object) -> None:
    """Run the preflight before the other receivers, which are connected below.

    Celery swallows every exception of a receiver but SystemExit.
    """
    check_start(web=False)


# These modules connect receivers and register transports. Celery calls receivers in the order in which they
# were connected, so the preflight comes before all of them.
import tecken.jobs.task  # noqa: E402
import tecken.jobs.transport  # noqa: E402
import tecken.monitoring.logs  # noqa: E402
import tecken.monitoring.telemetry  # noqa: E402, F401

app = Celery("tecken", task_cls="tecken.jobs.task:Job")
app.config_from_object("django.conf:settings", namespace="CELERY")
app.autodiscover_tasks(["tecken", "tecken.symbolication"])
app.steps["consumer"].add("tecken.jobs.worker:Pause")
app.steps["worker"].add("tecken.jobs.worker:Heartbeat")
# `current_app` is per thread. Without this, a web server's handler threads would send jobs with another app.
app.set_default()
