"""The WSGI application, for a web server whose start has been checked (`python -m run.web`)."""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from tecken.celery import app  # tasks are sent by the current app
from tecken.monitoring import telemetry

telemetry.start()
application = get_wsgi_application()

from tecken.runtimeconfig import current  # noqa: E402 - only now is Django set up
from tecken.symbolication.api import views  # noqa: E402

current.set_kind("web")
if settings.DEMO_MODE:
    from tecken.demo import site

    site.start(app, Path(settings.RUNTIME_CONFIG_FILE).parent)
current.start()
current.follow_log_level()
views.parts()  # so that no request waits while they are built
