"""Refuses to start a site whose servers are missing or wrongly set up, and says all that is wrong at once."""

from __future__ import annotations

from tecken.servers.facts import Facts
from tecken.servers.judge import Problem


def servers() -> tuple[Facts | None, Facts | None]:
    """Redis-cache and redis-store now, each within its short deadline; None for one that does not answer."""
    return None, None


def verify() -> list[Problem]:
    """Waits REDIS_STARTUP_SECONDS for what is transient."""
    return []


def entrance() -> None:
    """Raises SystemExit: 78 (EX_CONFIG) when somebody has to mend it, 75 (EX_TEMPFAIL) when it may pass."""
