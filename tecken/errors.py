"""Every error the project raises on purpose.

    TeckenError
    ├── BadInput                 the caller's fault: 400
    │   ├── BadModule            a debug file name or debug id nobody can look up
    │   ├── BadOption            an unknown option, or a value it cannot have
    │   ├── NotAllowed           no token, a bad one, or one without the permission: 403
    │   ├── TooOften             failed too often, and may try again later: 429
    │   │   └── OverLimit            asked more often, or for more, than a rate or quota allows
    │   ├── TooMuch              over a limit: 413
    │   ├── UnknownEncoding      a body compressed in a way that is not supported: 415
    │   └── Malformed            bytes that are not what their name says
    │       └── MalformedPageFile    foreign, truncated or of another version: counts as absent
    ├── Conflict                 somebody else was first: look again (409)
    ├── Absent                   asked, and it is not there
    │   ├── SwitchedOff          a source that might have it is switched off
    │   └── Refused              a host that is up does not give this file
    └── CouldNotAsk              no answer: say so, try later, remember nothing for long
        ├── Throttled            an upstream asked us to slow down
        ├── Pending              work goes on; the answer was not ready in time
        └── StoreAway            the LRU store does not answer

"Absent" and "CouldNotAsk" are different answers and never share a base below TeckenError.
"""

from __future__ import annotations

import errno
from typing import Any, Final

# Of an OSError: no space left on the device, or none left for this user.
DISK_FULL: Final = (errno.ENOSPC, errno.EDQUOT)


class TeckenError(Exception):
    """Base of the tree."""


class BadInput(TeckenError):
    """What was given cannot be used, whoever tries."""


class BadModule(BadInput):
    """A debug file name or debug id that cannot name a module."""


class BadOption(BadInput):
    """An unknown option of the runtime configuration, or a value that it cannot have; the text says which."""


class NotAllowed(BadInput):
    """Whoever asks may not do it; the text says why."""


class TooOften(BadInput):
    """Failed too often. `retry_after` is in seconds."""

    def __init__(self, message: str, retry_after: float) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class OverLimit(TooOften):
    """More than a rate or quota allows. `violated` names limits, `standings` are those of tecken.limits."""

    def __init__(
        self, message: str, retry_after: float, violated: tuple[str, ...], standings: tuple[Any, ...]
    ) -> None:
        super().__init__(message, retry_after)
        self.violated = violated
        self.standings = standings


class TooMuch(BadInput):
    """Over a limit; the text names the limit."""


class UnknownEncoding(BadInput):
    """A body whose Content-Encoding is not supported; the text names those that are."""


class Malformed(BadInput):
    """Bytes that are not what their name says."""


class MalformedPageFile(Malformed):
    """A page file that is foreign, truncated or of another format version."""


class Conflict(TeckenError):
    """What was to be changed has changed meanwhile; the text says by whom."""


class Absent(TeckenError):
    """Asked, and it is not there."""


class SwitchedOff(Absent):
    """Absent as far as one knows: an operator has switched a source off that might have it."""


class Refused(Absent):
    """Absent because a host that is up refuses the file (HTTP 400, 401, 403 ...); the text has the reason."""


class CouldNotAsk(TeckenError):
    """No answer. `retry_after` is in seconds, when something told us."""

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Throttled(CouldNotAsk):
    """An upstream asked us to slow down (HTTP 429, or 503 with Retry-After)."""


class Pending(CouldNotAsk):
    """The work goes on, but no answer was ready before the deadline."""


class StoreAway(CouldNotAsk):
    """The LRU store does not answer."""


def is_disk_full(error: BaseException) -> bool:
    """Return whether the disk has no room, which passes when an operator or a cleanup makes some."""
    return isinstance(error, OSError) and error.errno in DISK_FULL
