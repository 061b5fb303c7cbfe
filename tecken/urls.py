"""The map: every URL and the view it opens."""

from __future__ import annotations

from django.urls import include, path

handler404 = "tecken.http.not_found"

urlpatterns = [
    path("", include("tecken.symbolicate.urls")),
    path("", include("tecken.health.urls")),
    path("", include("tecken.tokens.urls")),
    path("", include("tecken.upload.urls")),
    path("", include("tecken.upload.direct_urls")),
    path("", include("tecken.api.urls")),
    path("", include("tecken.web.urls")),
    path("", include("tecken.download.urls")),  # the last: its pattern takes what is left
]
