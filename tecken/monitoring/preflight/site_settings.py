"""Problems of the settings. Some count in production only, and no text holds a value."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tecken.monitoring.preflight.rules import CACHE, STORE, Problem

SITE = "site"
VARIABLES = {CACHE: "REDIS_URL", STORE: "REDIS_STORE_URL"}
MIN_KEY_CHARACTERS = 50
"""Minimum of Django's own check security.W009."""
MIN_KEY_DIFFERENT = 12
"""Fifty random characters have more, also hexadecimal ones."""
PUBLISHED_KEYS = (
    "django-insecure-",
    "for-local-use-only",
    "change-me",
    "changeme",
    "change_me",
    "your-secret-key",
)
"""Parts of keys in examples, in earlier versions of this repository, and in Django's templates."""
COMMON_PASSWORDS = (
    "tecken",
    "postgres",
    "password",
    "secret",
    "changeme",
    "change-me",
    "admin",
    "root",
    "test",
)
"""Database passwords that examples have or that attackers try first."""
MAKE_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def find_setting_problems() -> Iterator[Problem]:
    """Yield the problems of the settings."""
    if settings.DEMO_MODE:
        yield from _check_demo()
        return
    for server, variable in VARIABLES.items():
        if variable in settings.MALFORMED:
            text = f"{variable} is malformed: {settings.MALFORMED[variable]}"
            yield Problem("E01", "error", server, text)
        elif not getattr(settings, variable):
            yield Problem("E01", "error", server, f"{variable} environment variable is required")
    yield from _check_secret_key()
    if settings.ENVIRONMENT == "production":
        yield from _check_production()


def _check_demo() -> Iterator[Problem]:
    if settings.ENVIRONMENT == "production":
        yield Problem("E14", "error", SITE, "DEMO_MODE is not for ENVIRONMENT=production")
    yield Problem("W14", "warning", SITE, "Using in-memory counters (DEMO_MODE)")
    yield Problem("W14", "warning", SITE, "Using in-memory queue (DEMO_MODE)")


def _check_secret_key() -> Iterator[Problem]:
    try:
        key = settings.SECRET_KEY
    except ImproperlyConfigured:
        key = ""
    if not key:
        yield Problem("E15", "error", SITE, "SECRET_KEY environment variable is required")
    elif settings.ENVIRONMENT == "production" and (weakness := find_weakness(key)):
        yield Problem("E15", "error", SITE, f"SECRET_KEY {weakness}: sessions can be forged; {MAKE_KEY}")


def _check_production() -> Iterator[Problem]:
    if settings.DEBUG:
        yield _unsafe("DEBUG is on: error pages would show settings and code; remove it")
    if "*" in settings.ALLOWED_HOSTS:
        yield _unsafe(
            "ALLOWED_HOSTS has *: links would lead to whatever host a request names; name the site's own"
        )
    if unquote(urlsplit(settings.DATABASE_URL).password or "").lower() in COMMON_PASSWORDS:
        yield _unsafe(
            "the password in DATABASE_URL is a published one: set a random one, also in the database"
        )
    if settings.HTTPS_ONLY and not settings.SECURE_COOKIES:
        yield _unsafe("SECURE_COOKIES is off with HTTPS_ONLY: cookies would go over plain HTTP; remove it")


def find_weakness(key: str) -> str:
    """Return what is wrong with a SECRET_KEY; empty when nothing is."""
    if len(key) < MIN_KEY_CHARACTERS:
        return f"has less than {MIN_KEY_CHARACTERS} characters"
    if any(part in key.lower() for part in PUBLISHED_KEYS):
        return "is a published text"
    is_varied = len(set(key)) >= MIN_KEY_DIFFERENT
    return "" if is_varied else f"has less than {MIN_KEY_DIFFERENT} different characters"


def _unsafe(text: str) -> Problem:
    return Problem("E16", "error", SITE, text)
