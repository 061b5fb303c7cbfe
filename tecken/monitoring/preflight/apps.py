"""Application that reports the problems of the settings to Django's check framework."""

from __future__ import annotations

from django.apps import AppConfig
from django.core import checks

from tecken.monitoring.preflight.site_settings import find_setting_problems

KINDS = {"error": checks.Error, "warning": checks.Warning}


class PreflightConfig(AppConfig):
    """Application without models; its check counts for deployments only.

    Django runs all other checks before each management command, and `migrate` has to work before Redis is
    configured. `manage.py check_redis` inspects the servers.
    """

    name = "tecken.monitoring.preflight"

    def ready(self) -> None:
        """Register the check for `manage.py check --deploy`."""
        checks.register(check_settings, checks.Tags.security, deploy=True)


def check_settings(**_options: object) -> list[checks.CheckMessage]:
    """Return the problems of the settings with ids such as `tecken.E15`."""
    return [
        KINDS[problem.level](problem.text, obj=problem.server, id=f"tecken.{problem.id}")
        for problem in find_setting_problems()
    ]
