"""Backends: the shared stores that distribute the configuration to all processes.

Each method has one short deadline and raises Unavailable when it passes. A subscription raises it when its
connection is lost. tests/contract/test_config_backend.py has what all backends must do.
"""

from __future__ import annotations

from tecken.runtimeconfig.backends.file import FileBackend
from tecken.runtimeconfig.backends.redis import RedisBackend

__all__ = ["ConfigBackend", "FileBackend", "RedisBackend"]
ConfigBackend = FileBackend | RedisBackend
