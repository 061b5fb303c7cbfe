"""The web server's entrance: `granian --interface wsgi tecken.wsgi:application`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

import tecken.celery  # noqa: F401 - tasks are sent by the current app

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
application = get_wsgi_application()

from tecken.symbolicate import views  # noqa: E402 - only now is Django set up

views.parts()  # so that no request waits while they are built
