from __future__ import annotations

from django.apps import AppConfig


class UploadConfig(AppConfig):
    name = "tecken.upload"
    label = "upload"
