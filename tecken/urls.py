"""The map: every URL and the view it opens."""

from __future__ import annotations

from django.urls import include, path

handler400 = "tecken.web.error_pages.bad_request"
handler403 = "tecken.web.error_pages.forbidden"
handler404 = "tecken.http.responses.not_found"
handler500 = "tecken.web.error_pages.server_error"

urlpatterns = [
    path("", include("tecken.symbolication.api.urls")),
    path("", include("tecken.monitoring.health.urls")),
    path("", include("tecken.accounts.urls")),
    path("", include("tecken.upload.urls")),
    path("", include("tecken.upload.direct_urls")),
    path("", include("tecken.web.api.urls")),
    path("", include("tecken.web.urls")),
    path("", include("tecken.download.urls")),  # the last: its pattern takes what is left
]
