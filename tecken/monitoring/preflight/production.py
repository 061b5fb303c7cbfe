"""Settings that are fine on a developer's machine and unsafe in production."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import unquote, urlsplit

from django.conf import settings

from tecken.monitoring.preflight.rules import Problem

SITE = "site"
LEAST_KEY_CHARACTERS = 50
"""As Django's own check security.W009 has it."""
LEAST_DIFFERENT = 12
"""Fifty random characters have more, also hexadecimal ones."""
PUBLISHED = (
    "django-insecure-",
    "for-local-use-only",
    "change-me",
    "changeme",
    "change_me",
    "your-secret-key",
)
"""Parts of keys that stand in examples, in earlier versions of this repository, and in Django's templates."""
GUESSED = ("tecken", "postgres", "password", "secret", "changeme", "change-me", "admin", "root", "test")
"""Passwords of a database that are in examples or are tried first."""
MAKE_KEY = "make one with: python3 -c 'import secrets; print(secrets.token_urlsafe(48))'"


def unsafe_settings() -> Iterator[Problem]:
    """Yield what production must not start with; no text holds a value."""
    if settings.DEBUG:
        yield _unsafe("DEBUG is on: error pages would show settings and code; remove it")
    if "*" in settings.ALLOWED_HOSTS:
        yield _unsafe(
            "ALLOWED_HOSTS has *: links would lead to whatever host a request names; name the site's own"
        )
    if unquote(urlsplit(settings.DATABASE_URL).password or "").lower() in GUESSED:
        yield _unsafe(
            "the password in DATABASE_URL is a published one: set a random one, also in the database"
        )
    if settings.HTTPS_ONLY and not settings.SECURE_COOKIES:
        yield _unsafe("SECURE_COOKIES is off with HTTPS_ONLY: cookies would go over plain HTTP; remove it")


def weakness(key: str) -> str:
    """Return what is wrong with a SECRET_KEY, or nothing."""
    if len(key) < LEAST_KEY_CHARACTERS:
        return f"has less than {LEAST_KEY_CHARACTERS} characters"
    if any(part in key.lower() for part in PUBLISHED):
        return "is a published text"
    return f"has less than {LEAST_DIFFERENT} different characters" if len(set(key)) < LEAST_DIFFERENT else ""


def _unsafe(text: str) -> Problem:
    return Problem("E16", "error", SITE, text)
