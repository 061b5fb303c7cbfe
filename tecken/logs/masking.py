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

MASK = "***"
TOKEN_CHARACTERS = 64
SHORTEST = 8  # what is shorter is also found in words
NAMES = ("SECRET_KEY", "OIDC_RP_CLIENT_SECRET")
URLS = ("DATABASE_URL", "REDIS_URL", "REDIS_STORE_URL", "STORAGE_URL", "TRY_STORAGE_URL", "SENTRY_DSN")
SHAPES = (
    (re.compile(r"(?<=://)[^\s'\"<>]*@"), f"{MASK}@"),  # to the last @, for some are not encoded
    (re.compile(r"\b([0-9a-f]{8})[0-9a-f]{56}\b"), rf"\1{MASK}"),  # a token; its hint is shown in pages, too
    (
        re.compile(
            r"(?i)\b((?:set-)?cookie|authorization|auth-token|x-csrftoken)\b(['\"]?\s*[:=]\s*['\"]?)[^'\"\r\n]+"
        ),
        rf"\1\2{MASK}",
    ),
    (
        re.compile(
            r"(?i)\b([\w-]*(?:password|passwd|secret|secret_key|sessionid|csrftoken|csrfmiddlewaretoken|signature"
            r"|security-token|x-amz-credential|x-goog-credential))(['\"]?\s*[:=]\s*['\"]?)[^\s'\",;&]+"
        ),
        rf"\1\2{MASK}",
    ),
)


def masked(text: str) -> str:
    if known := _known():
        text = known.sub(MASK, text)
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
        url = str(getattr(settings, name, ""))
        password = urlsplit(url).password or ""
        yield from (password, unquote(password))
