"""The site as a WSGI application, for web processes that start after a preflight (`python -m run.web`).

Importing this module sets Django up, starts the watcher of the runtime configuration, and loads what a
symbolication request needs. Other web servers import `tecken.wsgi`, which runs the preflight first.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import resolve

# Its import sets the current app, with which Django's handlers send jobs.
from tecken.celery import app
from tecken.monitoring import telemetry

telemetry.start()
application = get_wsgi_application()

from tecken.limits import services as limits_services  # noqa: E402 - Django's setup comes before models
from tecken.runtimeconfig import current  # noqa: E402
from tecken.symbolication.api import views  # noqa: E402


def warm_up() -> None:
    """Build and import what the first request would otherwise wait for; `FrontConfig.load` does the rest."""
    views.parts()
    limits_services.usage()
    # The URL table imports every view.
    resolve("/symbolicate/v5")


current.set_kind("web")
if settings.DEMO_MODE:
    from tecken.demo import site

    site.start(app, Path(settings.RUNTIME_CONFIG_FILE).parent)
current.start()
current.follow_log_level()
warm_up()
