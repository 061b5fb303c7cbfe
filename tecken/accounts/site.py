from __future__ import annotations

from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class Site(AdminSite):
    site_header = site_title = "Tecken"
    final_catch_all_view = False  # a debug file may be called "admin"

    def get_urls(self) -> list[Any]:
        """Return Django's URLs without `r/<path>/<path>/`.

        No model here has a page of its own to go to, and a long path of slashes takes that pattern seconds.
        """
        return [url for url in super().get_urls() if getattr(url, "name", "") != "view_on_site"]


class SiteConfig(AdminConfig):
    default_site = "tecken.accounts.site.Site"
