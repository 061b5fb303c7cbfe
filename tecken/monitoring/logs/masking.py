"""Removal of secrets from text: those of the settings, and others by their form."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from tecken.redaction import MASK, redact_text

TOKEN_CHARACTERS = 64
# A shorter secret would also be found in ordinary words.
MIN_SECRET_CHARACTERS = 8
NAMES = ("SECRET_KEY", "OIDC_RP_CLIENT_SECRET")
URLS = ("DATABASE_URL", "REDIS_URL", "REDIS_STORE_URL", "STORAGE_URL", "TRY_STORAGE_URL", "SENTRY_DSN")
SECRET_NAME = re.compile(r"(?i)pass|secret|key|token|sig")
# Possessive quantifiers (`*+`, `++`) never backtrack, so a client cannot send a text that takes long to mask.
SHAPES = (
    # A token. Pages show its first eight characters too.
    (re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b"), rf"\1{MASK}"),
    (
        re.compile(
            r"(?i)\b((?:set-)?cookie|authorization|auth-token|x-csrftoken)\b(['\"]?\s*+[:=]\s*+['\"]?)[^'\"\r\n]++"
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"(?i)(password|passwd|secret|secret_key|sessionid|csrftoken|csrfmiddlewaretoken|signature"
            r"|security-token|x-amz-credential|x-goog-credential)(['\"]?\s*+[:=]\s*+['\"]?)[^\s'\",;&]++"
        ),
        rf"\1\2{MASK}",
    ),
)


def mask_secrets(text: str) -> str:
    """Return `text` with `***` for each secret."""
    if pattern := _secrets_pattern():
        text = pattern.sub(MASK, text)
    text = redact_text(text)
    if len(text) >= TOKEN_CHARACTERS or ":" in text or "=" in text:
        for shape, replacement in SHAPES:
            text = shape.sub(replacement, text)
    return text


def mask_deeply(value: Any) -> Any:
    """Return `value` with every text in it masked, also in lists and dictionaries."""
    if isinstance(value, str):
        return mask_secrets(value)
    if isinstance(value, dict):
        return {key: mask_deeply(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [mask_deeply(item) for item in value]
    return value


@cache
def _secrets_pattern() -> re.Pattern[str] | None:
    # The longest first, so that a secret which contains another one is removed whole.
    found = sorted({text for text in _secrets() if len(text) >= MIN_SECRET_CHARACTERS}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _secrets() -> Iterator[str]:
    for name in NAMES:
        # Django raises this for a SECRET_KEY that is not set.
        with suppress(ImproperlyConfigured):
            yield str(getattr(settings, name, ""))
    for name in URLS:
        yield from _secrets_in_url(str(getattr(settings, name, "")))


def _secrets_in_url(url: str) -> Iterator[str]:
    """Yield the password, or else the user name, and secret values of the query, as written and decoded."""
    parts = urlsplit(url)
    password = parts.username if parts.password is None else parts.password
    query = (pair.partition("=") for pair in parts.query.split("&"))
    for text in (password or "", *(value for name, _, value in query if SECRET_NAME.search(name))):
        yield from (text, unquote(text))
