"""The long-lived parts of this feature, from the settings."""

from __future__ import annotations

from tecken import wiring
from tecken.download.missing import MissWriter


@wiring.once
def miss_writer() -> MissWriter:
    """Return the part that writes counts of missing symbols to the database."""
    return MissWriter(wiring.cache_client())
