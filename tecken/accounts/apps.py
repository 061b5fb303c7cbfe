"""Django's configuration of accounts and of its admin site."""

from __future__ import annotations

from typing import Any

from django.apps import AppConfig
from django.contrib.admin import AdminSite
from django.contrib.admin import apps as admin_apps
from django.db.models.signals import post_migrate


class TokensConfig(AppConfig):
    """Application of tokens; its label is part of the names of tables and permissions."""

    name = "tecken.accounts"
    label = "tokens"
    default = True

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
    default_site = "tecken.accounts.apps.TeckenAdminSite"
