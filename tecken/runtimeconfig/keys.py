"""The names in Redis, in the database of runtime configuration. Operators may use them with redis-cli."""

from __future__ import annotations

VERSION = "config:version"
CHANGE = "config:change"
VALUES = "config:values"
PROCESS = "config:process:"  # and the process, as in Report
MAINTENANCE = "is-under-maintenance"
UPLOADS_CLOSED = "uploads-closed"
LEVELS = {"full": MAINTENANCE, "uploads": UPLOADS_CLOSED}
