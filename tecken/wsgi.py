"""The web server's entrance: `granian --interface wsgi tecken.wsgi:application`."""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "tecken.settings")
application = get_wsgi_application()
