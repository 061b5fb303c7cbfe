"""What this site's settings name, and what is wrong with them before anything is asked."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tecken import redisclient
from tecken.monitoring.preflight import commands
from tecken.monitoring.preflight.inspect import Server
from tecken.monitoring.preflight.production import MAKE_KEY, SITE, unsafe_settings, weakness
from tecken.monitoring.preflight.rules import CACHE, STORE, Problem

VARIABLES = {CACHE: "REDIS_URL", STORE: "REDIS_STORE_URL"}


def wrong() -> Iterator[Problem]:
    """Of the settings; no text holds a value."""
    for server, variable in VARIABLES.items():
        if variable in settings.MALFORMED:
            text = f"{variable} is malformed: {settings.MALFORMED[variable]}"
            yield Problem("E01", "error", server, text)
        elif not getattr(settings, variable):
            yield Problem("E01", "error", server, f"{variable} environment variable is required")
    if not has_secret_key():
        yield Problem("E15", "error", SITE, "SECRET_KEY environment variable is required")
    elif settings.ENVIRONMENT == "production" and (why := weakness(settings.SECRET_KEY)):
        yield Problem("E15", "error", SITE, f"SECRET_KEY {why}: sessions can be forged; {MAKE_KEY}")
    if settings.ENVIRONMENT == "production":
        yield from unsafe_settings()


def wrong_demo() -> Iterator[Problem]:
    if settings.ENVIRONMENT == "production":
        yield Problem("E14", "error", SITE, "DEMO_MODE is not for ENVIRONMENT=production")
    yield Problem("W14", "warning", SITE, "Using in-memory counters (DEMO_MODE)")
    yield Problem("W14", "warning", SITE, "Using in-memory queue (DEMO_MODE)")


def has_secret_key() -> bool:
    try:
        return bool(settings.SECRET_KEY)
    except ImproperlyConfigured:
        return False


def servers() -> list[Server]:
    """Those whose URL can be used, each with a client of its own that `look` closes."""
    named = []
    if _usable("REDIS_URL"):
        named.append(_cache_server(settings.CACHES["default"]["LOCATION"]))
    if _usable("REDIS_STORE_URL"):
        named.append(_store_server(settings.CACHES["store"]["LOCATION"]))
    return named


def _usable(variable: str) -> bool:
    return bool(getattr(settings, variable)) and variable not in settings.MALFORMED


def _cache_server(url: str) -> Server:
    """With the last of its databases: where that one is, the others are."""
    client = redisclient.client(
        settings.REDIS_COUNTERS_URL,
        timeout=settings.REDIS_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_CONNECT_TIMEOUT_SECONDS,
    )
    channel = settings.RUNTIME_CONFIG_CHANNEL
    outside = [tuple(word.format(channel) for word in command) for command in commands.CACHE_OUTSIDE]
    return Server(CACHE, url, client, commands.CACHE, outside)


def _store_server(url: str) -> Server:
    client = redisclient.client(
        url,
        timeout=settings.REDIS_STORE_TIMEOUT_SECONDS,
        connect_timeout=settings.REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
    )
    return Server(STORE, url, client, commands.STORE)
