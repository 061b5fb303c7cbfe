"""What an answer says of limits: draft-ietf-httpapi-ratelimit-headers, structured fields."""

from __future__ import annotations

import math
from collections.abc import Iterable

from tecken.limits.port import SECONDS, Limit, Standing

UNITS = {"requests": "", "frames": ';qu="frames"', "bytes": ';qu="content-bytes"'}


def policies(standings: Iterable[Standing]) -> str:
    """`RateLimit-Policy`: `"requests-minute-address";q=600;w=60, ...`"""
    return ", ".join(map(_policy, (standing.limit for standing in standings)))


def states(standings: Iterable[Standing]) -> str:
    """`RateLimit`: `"requests-minute-address";r=599;t=1, ...`; `t` in seconds, rounded up."""
    return ", ".join(f'"{one.limit.name}";r={one.remaining};t={math.ceil(one.reset)}' for one in standings)


def _policy(limit: Limit) -> str:
    """A month has no number of seconds."""
    seconds = SECONDS.get(limit.window)
    window = f";w={seconds:.0f}" if seconds else ""
    return f'"{limit.name}";q={limit.quantity}{window}{UNITS[limit.unit]}'
