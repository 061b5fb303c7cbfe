"""Redis servers that the settings name, as targets of an inspection."""

from __future__ import annotations

from django.conf import settings

from tecken import redisclient
from tecken.monitoring.preflight import commands
from tecken.monitoring.preflight.inspect import Target
from tecken.monitoring.preflight.rules import CACHE, STORE


def find_targets() -> list[Target]:
    """Return the servers whose URLs can be used, each with a client that its inspection closes."""
    targets = []
    if _is_usable("REDIS_URL"):
        targets.append(_cache_target(settings.CACHES["default"]["LOCATION"]))
    if _is_usable("REDIS_STORE_URL"):
        targets.append(_store_target(settings.CACHES["store"]["LOCATION"]))
    return targets


def _is_usable(variable: str) -> bool:
    return bool(getattr(settings, variable)) and variable not in settings.MALFORMED


def _cache_target(url: str) -> Target:
    # The client uses the last of the databases: a server that has this one has the others.
    client = redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    channel = settings.RUNTIME_CONFIG_CHANNEL
    outside = [tuple(word.format(channel) for word in command) for command in commands.CACHE_OUTSIDE]
    return Target(CACHE, url, client, commands.CACHE, outside)


def _store_target(url: str) -> Target:
    client = redisclient.client(
        url,
        timeout=settings.REDIS_STORE_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
    )
    return Target(STORE, url, client, commands.STORE)
