from __future__ import annotations

from django.contrib.admin import AdminSite
from django.contrib.admin.apps import AdminConfig


class Site(AdminSite):
    site_header = site_title = "Tecken"
    final_catch_all_view = False  # a debug file may be called "admin"


class SiteConfig(AdminConfig):
    default_site = "tecken.tokens.site.Site"
