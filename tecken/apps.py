"""Django's configuration of the applications that need one, and of the admin site.

The settings name each class. `default = False` keeps Django from choosing one of them for `tecken` itself.
"""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.admin import AdminSite
from django.contrib.admin import apps as admin_apps
from django.core import checks
from django.db.models.signals import post_migrate

from tecken.monitoring.preflight.rules import find_setting_problems


class TokensConfig(AppConfig):
    """Application of tokens; its label is part of the names of tables and permissions."""

    name = "tecken.accounts"
    label = "tokens"
    default = False

    def ready(self) -> None:
        """Have the groups created after migrations."""
        # Models cannot be imported before all applications are loaded.
        from tecken.accounts.tokens import make_groups  # noqa: PLC0415

        post_migrate.connect(make_groups)


class TeckenAdminSite(AdminSite):
    """Django's admin below /admin/."""

    site_header = site_title = "Tecken"
    # A debug file may be called "admin", so a URL below /admin/ may be a download.
    final_catch_all_view = False

    def get_urls(self) -> list[Any]:
        """Return Django's URLs without `r/<path>/<path>/`.

        No model here has a page of its own, and a long path of slashes takes that pattern seconds to match.
        """
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]


class SiteConfig(admin_apps.AdminConfig):
    """Application of Django's admin, with our site."""

    default = False
    default_site = "tecken.apps.TeckenAdminSite"


class RuntimeConfigConfig(AppConfig):
    """App that connects watchers with the database."""

    name = "tecken.runtimeconfig"
    label = "runtimeconfig"
    default = False
    verbose_name = "Runtime configuration"

    def ready(self) -> None:
        """Import the service while there is only one thread, and give its `reconcile` to the watcher.

        If a watcher's thread imported it, a child forked meanwhile would inherit the import lock and hang.
        """
        from tecken.runtimeconfig import current, service  # noqa: PLC0415 - models load before this

        current.set_reconciler(service.reconcile)


KINDS = {"error": checks.Error, "warning": checks.Warning}


class PreflightConfig(AppConfig):
    """Application without models; its check counts for deployments only.

    Django runs all other checks before each management command, and `migrate` has to work before Redis is
    configured. `manage.py check_redis` inspects the servers.
    """

    name = "tecken.monitoring.preflight"
    default = False

    def ready(self) -> None:
        """Register the check for `manage.py check --deploy`."""
        checks.register(check_settings, checks.Tags.security, deploy=True)


def check_settings(**_options: object) -> list[checks.CheckMessage]:
    """Return the problems of the settings with ids such as `tecken.E15`."""
    return [
        KINDS[problem.level](problem.text, obj=problem.server, id=f"tecken.{problem.id}")
        for problem in find_setting_problems()
    ]
