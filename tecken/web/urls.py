from __future__ import annotations

from django.urls import path

from tecken.web.pages import (
    api_docs,
    config,
    config_history,
    explain,
    files,
    health,
    help,
    home,
    jobs,
    maintenance,
    missing,
    store,
    symbolicate,
    tokens,
    uploads,
)

urlpatterns = [
    path("", home.root, name="home"),
    path("api/docs", api_docs.page, name="api-docs"),
    path("symbolicate/", symbolicate.page, name="symbolicate"),
    path("store/", store.store, name="store"),
    path("shared/<str:name>/", symbolicate.of_share, name="shared"),
    path("explain/", explain.form, name="explain"),
    path("explain/<str:debug_file>/<str:debug_id>/", explain.explain, name="explained"),
    path("missing/", missing.missing, name="missing"),
    path("uploads/", uploads.uploads, name="uploads"),
    path("uploads/<int:number>/", uploads.upload, name="upload"),
    path("files/", files.files, name="files"),
    path("help/", help.index, name="help"),
    path("help/<str:name>/", help.topic, name="help-topic"),
    path("tokens/", tokens.tokens, name="tokens"),
    path("tokens/<int:number>/", tokens.token, name="token"),
    path("health/", health.health, name="health"),
    path("jobs/", jobs.jobs, name="jobs"),
    path("jobs/<path:number>/", jobs.job, name="job"),
    path("config/", config.options, name="config"),
    path("config/history/", config_history.versions, name="config-history"),
    path("config/versions/<int:number>/", config_history.version, name="config-version"),
    path("config/maintenance/", maintenance.maintenance, name="maintenance"),
]
