"""Errors that the project raises on purpose, and the redaction of secrets and places in their texts.

    TeckenError
    ├── InvalidInput: the request cannot be served as it is (400)
    │   ├── BadModule: a debug file or debug id that cannot name a module
    │   ├── BadOption: an unknown runtime option, or a value that it cannot have
    │   ├── Forbidden: no token, a bad token, or one without the permission (403)
    │   ├── LockedOut: too many failures from this address (429)
    │   │   ├── RateLimited: more than a rate limit or quota allows
    │   │   └── TooManyAtOnce: more work in progress than a client may have
    │   ├── TooLarge: over a size limit (413)
    │   ├── UnknownEncoding: a body in an encoding that is not supported (415)
    │   └── Malformed: bytes that are not of the expected format
    │       └── MalformedPageFile: a page file that is foreign, truncated or of another version
    ├── Conflict: the state has changed since the client read it (409)
    ├── NotFound: every source answered that it does not have the file (404)
    │   ├── SourceDisabled: a source that may have the file is switched off
    │   ├── NotAsked: a source has no files of this kind
    │   │   └── IncompleteId: a source needs more than the id in the request
    │   └── AccessDenied: a host refuses to give this file
    └── Unavailable: no answer, so the result is unknown (503)
        ├── Throttled: an upstream limits the rate of requests
        ├── Pending: the result was not ready before the deadline
        └── StoreUnavailable: redis-store does not answer

An absent file and an unavailable source are different results. They share no base below `TeckenError`, so
that no handler can report an outage as "not found".

No other module decides which parts of a URL are secret, and which places are hidden from strangers.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Mapping
from typing import Any, ClassVar, Final

# Reasons of an OSError: no space left on the device, or the quota of this user is used up.
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class TeckenError(Exception):
    """Base of all errors that are raised on purpose.

    `wire_name` is the name that clients read in `module_errors`. It is part of the contract and stays when a
    class gets another name.
    """

    wire_name: ClassVar[str] = "TeckenError"

    def __init_subclass__(cls) -> None:
        """Name a class that has no wire name of its own after itself, not after its base."""
        super().__init_subclass__()
        cls.wire_name = cls.__dict__.get("wire_name", cls.__name__)


class InvalidInput(TeckenError):
    """Input that cannot be used, no matter who sends it."""


class BadModule(InvalidInput):
    """Debug file or debug id that cannot name a module."""


class BadOption(InvalidInput):
    """Unknown runtime option, or a value that it cannot have. The text names it.

    `problems` has the text of each entry if several were checked.
    """

    def __init__(self, message: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.problems = problems or {}


class Forbidden(InvalidInput):
    """Request that the caller may not make. The text has the reason."""


class LockedOut(InvalidInput):
    """Too many failures; `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RateLimited(LockedOut):
    """More than a rate limit or quota allows.

    `violated` has the names of the limits, and `statuses` is a tuple of `tecken.limits.port.LimitStatus`.
    """

    def __init__(
        self, message: str, retry_after: float, violated: tuple[str, ...], statuses: tuple[Any, ...]
    ) -> None:
        super().__init__(message, retry_after)
        self.violated = violated
        self.statuses = statuses


class TooManyAtOnce(LockedOut):
    """More work in progress than a client may have at a time."""


class TooLarge(InvalidInput):
    """Input over a size limit. The text names the limit."""


class UnknownEncoding(InvalidInput):
    """Body with an unsupported Content-Encoding. The text names the supported ones."""


class Malformed(InvalidInput):
    """Bytes that are not of the expected format."""


class MalformedPageFile(Malformed):
    """Page file that is foreign, truncated or of another format version."""


class Conflict(TeckenError):
    """Change of a state that has changed meanwhile. The text names the other change."""


class NotFound(TeckenError):
    """File or row that does not exist. Every source has answered."""


class SourceDisabled(NotFound):
    """File that no enabled source has. An operator has switched off a source that may have it."""


class NotAsked(NotFound):
    """File that a source was not asked for, because it has no files of this kind. The text has the reason."""


class IncompleteId(NotAsked):
    """File that a source can find only with more than the id in the request. The text says with what."""


class AccessDenied(NotFound):
    """File that a working host refuses to give (HTTP 400, 401, 403 ...). The text has the reason."""


class Unavailable(TeckenError):
    """Missing answer. `retry_after` is in seconds, or None when the waiting time is unknown."""

    wire_name = "CouldNotAsk"

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(Unavailable):
    """Upstream that limits the rate of requests (HTTP 429, or 503 with Retry-After)."""


class Pending(Unavailable):
    """Result that was not ready before the deadline. The work continues."""


class StoreUnavailable(Unavailable):
    """Failure of redis-store to answer."""

    wire_name = "StoreAway"


def is_disk_full(error: BaseException) -> bool:
    """Return whether the disk has no room. The error is temporary: an operator or a cleanup frees space."""
    return isinstance(error, OSError) and error.errno in DISK_FULL


# Redaction of URLs

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


# Names of buckets and directories in messages of `tecken.storage`: URLs of `parse_place`, also behind the
# layout of an upstream, `symsrv+s3://bucket/prefix`. Directories may have spaces in their names.
PRIVATE_PLACE = re.compile(
    r"(?:\b[a-z]{1,20}\+)?\b(?:file|s3|gs|az)://.*?(?=[:,;](?:\s|$)| has no | allows no |$)",
    re.IGNORECASE | re.M,
)
# What the file system and clients of buckets add after the name: a path, or the URL of a request.
DETAILED_PLACE = re.compile(r"https?://\S{1,4096}|(?<![\w:/.])/[^\s:'\"]{1,4096}")


def hide_places(text: str) -> str:
    """Return the text of an error without addresses of buckets and directories, for everyone to read.

    Addresses of public servers stay, unless a bucket is named beside them: its requests have such addresses.
    """
    hidden = PRIVATE_PLACE.sub("a source", text)
    return text if hidden == text else DETAILED_PLACE.sub("...", hidden)


def _redact(rest: str) -> str:
    account, at, location = rest.rpartition("@")
    if "?" in account or "#" in account:
        return MASK
    path, question, _query = location.partition("#")[0].partition("?")
    user, colon, _password = account.partition(":")
    name = f"{user}:" if colon and "/" not in user else ""
    return (f"{name}{MASK}@" if at else "") + path + (f"?{MASK}" if question else "")
