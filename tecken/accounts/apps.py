from __future__ import annotations

from django.apps import AppConfig
from django.db.models.signals import post_migrate


class TokensConfig(AppConfig):
    name = "tecken.accounts"
    label = "tokens"

    def ready(self) -> None:
        from tecken.accounts.groups import make_groups  # noqa: PLC0415 - models exist only now

        post_migrate.connect(make_groups)
