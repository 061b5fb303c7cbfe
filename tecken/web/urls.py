from __future__ import annotations

from django.urls import path

from tecken.web import config, history, maintenance, symbolicate

urlpatterns = [
    path("symbolicate/", symbolicate.page, name="symbolicate"),
    path("shared/<str:name>/", symbolicate.of_share, name="shared"),
    path("config/", config.options, name="config"),
    path("config/history/", history.versions, name="config-history"),
    path("config/versions/<int:number>/", history.version, name="config-version"),
    path("config/maintenance/", maintenance.maintenance, name="maintenance"),
]
