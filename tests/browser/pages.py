"""Every page there is, from the URL table."""

from __future__ import annotations

from django.urls import reverse

from tecken.web.pages.docs import topics
from tecken.web.urls import urlpatterns
from tests.browser.site import BrowsedSite

NO_PAGES = {"token", "help-topic", "usage-exceptions", "minidump-send"}
"""Names of URLs that take forms only, or that are in what follows."""
BESIDES = {
    "login": "/login/",
    "admin": "/admin/login/",
    "absent": "/config/versions/999/",
    **{f"help-{name}": f"/help/{name}/" for name in topics()},
}

NAMES = sorted({pattern.name for pattern in urlpatterns if pattern.name} - NO_PAGES) + sorted(BESIDES)


def path(site: BrowsedSite, name: str) -> str:
    return BESIDES.get(name) or reverse(name, kwargs=site.arguments(name))
