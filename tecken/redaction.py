"""Redaction of secrets in URLs. No other module knows which parts of a URL are secret."""

from __future__ import annotations

import re

MASK = "***"
IN_TEXT = re.compile(r"://[^\s'\"<>]++")


def redact_url(url: str) -> str:
    """Return `scheme://user:***@host/path?***`: no password, no query, no fragment.

    A name without a password is masked too, because `redis://secret@host` and the DSN of Sentry have a secret
    there. The account ends at the last `@`, because people forget to encode one in a password. When a `?` or
    `#` comes before it, it may be part of a password or of a query, so nothing but the scheme is left.
    """
    scheme, separator, rest = url.partition("://")
    return scheme + separator + _redact(rest) if separator else _redact(url)


def redact_text(text: str) -> str:
    """Return a text in which each URL is redacted."""
    return IN_TEXT.sub(lambda match: "://" + _redact(match[0][3:]), text)


def without_account(url: str) -> str:
    """Return a URL without its account, its query and its fragment."""
    scheme, separator, rest = redact_url(url).partition("?")[0].rpartition("://")
    return scheme + separator + rest.rpartition("@")[2]


def _redact(rest: str) -> str:
    account, at, location = rest.rpartition("@")
    if "?" in account or "#" in account:
        return MASK
    path, question, _query = location.partition("#")[0].partition("?")
    user, colon, _password = account.partition(":")
    name = f"{user}:" if colon and "/" not in user else ""
    return (f"{name}{MASK}@" if at else "") + path + (f"?{MASK}" if question else "")
