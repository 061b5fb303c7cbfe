"""Takes secrets out of text: by their shape, and those of the settings as they are."""

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
SHORTEST = 8  # what is shorter is also found in words
NAMES = ("SECRET_KEY", "OIDC_RP_CLIENT_SECRET")
URLS = ("DATABASE_URL", "REDIS_URL", "REDIS_STORE_URL", "STORAGE_URL", "TRY_STORAGE_URL", "SENTRY_DSN")
SECRET_NAME = re.compile(r"(?i)pass|secret|key|token|sig")
SHAPES = (
    (re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b"), rf"\1{MASK}"),  # a token; its hint is shown in pages, too
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


def masked(text: str) -> str:
    if known := _known():
        text = known.sub(MASK, text)
    text = redact_text(text)
    if len(text) >= TOKEN_CHARACTERS or ":" in text or "=" in text:
        for shape, instead in SHAPES:
            text = shape.sub(instead, text)
    return text


def masked_deeply(value: Any) -> Any:
    """`value` with every text in it masked, also in lists and dictionaries."""
    if isinstance(value, str):
        return masked(value)
    if isinstance(value, dict):
        return {key: masked_deeply(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [masked_deeply(one) for one in value]
    return value


@cache
def _known() -> re.Pattern[str] | None:
    """Those of this deployment, the longest first."""
    found = sorted({text for text in _secrets() if len(text) >= SHORTEST}, key=len, reverse=True)
    return re.compile("|".join(map(re.escape, found))) if found else None


def _secrets() -> Iterator[str]:
    for name in NAMES:
        with suppress(ImproperlyConfigured):  # as Django has it for a SECRET_KEY that is not set
            yield str(getattr(settings, name, ""))
    for name in URLS:
        yield from _secrets_of(str(getattr(settings, name, "")))


def _secrets_of(url: str) -> Iterator[str]:
    """Yield the password, or the name that has none, and such values of the query, as written and decoded."""
    parts = urlsplit(url)
    password = parts.username if parts.password is None else parts.password
    query = (pair.partition("=") for pair in parts.query.split("&"))
    for text in (password or "", *(value for name, _, value in query if SECRET_NAME.search(name))):
        yield from (text, unquote(text))
