"""The site as a WSGI application, for web processes that start after a preflight (`python -m run.web`).

Importing this module sets Django up, starts the watcher of the runtime configuration, and builds the objects
that a symbolication request needs. Other web servers import `tecken.wsgi`, which runs the preflight first.
"""

from __future__ import annotations

from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

# Its import sets the current app, with which Django's handlers send jobs.
from tecken.celery import app
from tecken.monitoring import telemetry

telemetry.start()
application = get_wsgi_application()

from tecken.runtimeconfig import current  # noqa: E402 - models can be imported only after Django's setup
from tecken.symbolication.api import views  # noqa: E402

current.set_kind("web")
if settings.DEMO_MODE:
    from tecken.demo import site

    site.start(app, Path(settings.RUNTIME_CONFIG_FILE).parent)
current.start()
current.follow_log_level()
# Build the objects now, so that no request waits for them.
views.parts()
