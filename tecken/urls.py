"""The URL table: every URL and the view that answers it.

Pages are in `tecken.web.urls`, the endpoints of the API in `tecken.web.api.site`.
"""

from __future__ import annotations

from django.conf import settings
from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import URLPattern, URLResolver, include, path
from dockerflow.django.views import lbheartbeat, version

from tecken.accounts.sessions import Login
from tecken.download import missing
from tecken.download.metadata import metadata
from tecken.download.protocols import BUILD_ID_PATTERNS, PATTERNS, SOURCE_PATTERNS
from tecken.download.views import download, download_by_build_id, download_source
from tecken.monitoring.health import views as health
from tecken.symbolication.api import views as symbolication
from tecken.symbolication.api.minidump import post_minidump, serve_report
from tecken.symbolication.api.source import source_v1
from tecken.symbolication.api.text import symbolicate_body
from tecken.symbolication.services import convert_for_download
from tecken.upload.program import send_program
from tecken.upload.protocols import archive, direct, sym_upload

handler400 = "tecken.web.error_pages.bad_request"
handler403 = "tecken.web.error_pages.forbidden"
handler404 = "tecken.http.responses.not_found"
handler500 = "tecken.web.error_pages.server_error"

log_in: list[URLPattern | URLResolver] = (
    [path("oidc/", include("mozilla_django_oidc.urls"))]
    if settings.OIDC_RP_CLIENT_ID
    else [path("login/", Login.as_view(), name="login"), path("logout/", LogoutView.as_view(), name="logout")]
)

downloads: list[URLPattern | URLResolver] = [
    path("missingsymbols.csv", missing.as_csv),
    path("missingsymbols/", missing.as_json),
    path("metadata", metadata),
    path("try/metadata", metadata, {"with_try": True}),
    *(path(pattern, download_source(parse)) for pattern, parse in SOURCE_PATTERNS.items()),
    *(path(pattern, download_by_build_id(parse)) for pattern, parse in BUILD_ID_PATTERNS.items()),
    *(path(pattern, download(parse, convert_for_download)) for pattern, parse in PATTERNS.items()),
]

urlpatterns: list[URLPattern | URLResolver] = [
    # Symbolication
    path("symbolicate/v4", symbolication.v4),
    path("symbolicate/v5", symbolication.v5),
    path("symbolicate/text", symbolicate_body),
    path("source/v1", source_v1),
    path("process/minidump", post_minidump),
    path("process/minidump/<str:dump_id>", serve_report),
    # Health
    path("__lbheartbeat__", lbheartbeat),
    path("__heartbeat__", health.heartbeat),
    path("__version__", version),
    path("health", health.health),
    path("health/live", health.live),
    path("health/ready", health.ready),
    path("admin/health/redis", health.redis),
    path("metrics", health.exposition),
    # Accounts
    path("admin/", admin.site.urls),
    *log_in,
    # Uploads. A redirect to the path with a slash would turn a POST into a GET, so both are served.
    path("upload/", archive.upload_archive),
    path("upload", archive.upload_archive),
    path("tecken-upload.pyz", send_program),
    path("upload/auth_info/", direct.auth_info),
    path("upload/v2/", direct.announce),
    path("upload/v2/<int:number>/complete", direct.complete),
    path("upload/direct/<str:signed>", direct.receive),
    path("upload/sym_upload", sym_upload.send),
    path("upload/sym_upload/", sym_upload.send),
    path("upload/sym_upload/v1/symbols/<str:debug_file>/<str:debug_id>:checkStatus", sym_upload.status),
    path("upload/sym_upload/v1/uploads:create", sym_upload.create),
    path("upload/sym_upload/v1/uploads/<int:number>:complete", sym_upload.complete),
    # API and pages
    path("", include("tecken.web.api.site")),
    path("", include("tecken.web.urls")),
    # Downloads come last: the path of a file is any three names.
    *downloads,
]
