from __future__ import annotations

import logging

from tecken.runtimeconfig import current


class ConfigVersion(logging.Filter):
    """Gives each record `config_version`: what the request or job that it is about has in force."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.config_version = current.version()
        return True
