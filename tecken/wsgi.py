"""The web server's entrance: `granian --interface wsgi tecken.wsgi:application`."""

from __future__ import annotations

import os
from pathlib import Path

from django.conf import settings
from django.core.wsgi import get_wsgi_application

from tecken import telemetry
from tecken.celery import app  # tasks are sent by the current app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
telemetry.start()
application = get_wsgi_application()

from tecken.inforce import follow_log_level  # noqa: E402 - only now is Django set up
from tecken.runtimeconfig import current  # noqa: E402
from tecken.symbolicate import views  # noqa: E402

current.kind("web")
if settings.DEMO_MODE:
    from tecken.demo import site

    site.start(app, Path(settings.RUNTIME_CONFIG_FILE).parent)
current.start()
follow_log_level()
views.parts()  # so that no request waits while they are built
