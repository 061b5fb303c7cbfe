"""Base of the management commands."""

from __future__ import annotations

from django.core.management.base import BaseCommand


class SiteCommand(BaseCommand):
    """Command that starts without Django's system checks.

    The checks find faults of the code, and the tests run them with `manage.py check`. They import every view,
    which takes as long as all else that a command imports, and some of them need the database.
    """

    requires_system_checks = ()
