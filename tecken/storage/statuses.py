"""What an HTTP status means for one file: the same rules for upstreams and for object storage."""

from __future__ import annotations

TOO_MANY_REQUESTS = 429
# 4xx statuses about the moment, not about the file: Request Timeout, Too Early, Too Many Requests.
_TEMPORARY = (408, 425, TOO_MANY_REQUESTS)


def is_refusal(status: int) -> bool:
    """Return whether a host that is up refuses this one file, so that asking again brings the same answer."""
    return 400 <= status < 500 and status not in _TEMPORARY
