"""URLs of files and of missing symbols; they come last, since a file's path is any three names."""

from __future__ import annotations

from django.urls import path

from tecken.download.missing_views import as_csv, as_json
from tecken.download.protocols import PATTERNS
from tecken.download.views import download

urlpatterns = [
    path("missingsymbols.csv", as_csv),
    path("missingsymbols/", as_json),
    *(path(pattern, download(parse)) for pattern, parse in PATTERNS.items()),
]
