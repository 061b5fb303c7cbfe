"""Last of all in tecken/urls.py: its paths are any three names of which the second is hex digits."""

from __future__ import annotations

from django.urls import path, register_converter

from tecken.download.missing_views import as_csv, as_json
from tecken.download.views import download


class Hex:
    regex = "[0-9A-Fa-f]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


register_converter(Hex, "hex")

urlpatterns = [
    path("missingsymbols.csv", as_csv),
    path("missingsymbols/", as_json),
    path("try/<str:debug_file>/<hex:debug_id>/<str:file_name>", download("/try")),
    path("<str:debug_file>/<hex:debug_id>/<str:file_name>", download()),
]
