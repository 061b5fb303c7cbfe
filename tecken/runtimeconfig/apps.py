"""Django app of the runtime configuration."""

from __future__ import annotations

from django.apps import AppConfig


class RuntimeConfigConfig(AppConfig):
    """App that connects watchers with the database."""

    name = "tecken.runtimeconfig"
    label = "runtimeconfig"
    verbose_name = "Runtime configuration"

    def ready(self) -> None:
        """Import the service while there is only one thread, and give its `reconcile` to the watcher.

        If a watcher's thread imported it, a child forked meanwhile would inherit the import lock and hang.
        """
        from tecken.runtimeconfig import current, service  # noqa: PLC0415 - models load before this

        current.set_reconciler(service.reconcile)
