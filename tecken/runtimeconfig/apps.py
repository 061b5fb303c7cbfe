from __future__ import annotations

from django.apps import AppConfig


class RuntimeConfigConfig(AppConfig):
    name = "tecken.runtimeconfig"
    label = "runtimeconfig"
    verbose_name = "Runtime configuration"
