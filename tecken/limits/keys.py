"""The names in Redis, in the database of counters.

limits:rate:<scope>:<whose>:<id>:<unit>:<window>    how full it is, and when; expires when it is empty
limits:quota:<window>:<20261121 or 202611>          a hash; `spend.lua` makes the name of its own clock
    <scope>:<whose>:<id>:<unit>                         what was spent
"""

from __future__ import annotations

from tecken.limits.port import Caller, Limit

RATE = "limits:rate:"
QUOTA = "limits:quota:"


def key(limit: Limit, caller: Caller) -> str:
    """Of a rate; or of a quota without the day or month."""
    return f"{RATE}{member(limit, caller)}:{limit.window}" if limit.is_rate else f"{QUOTA}{limit.window}:"


def member(limit: Limit, caller: Caller) -> str:
    return f"{limit.scope}:{limit.whose}:{caller.id(limit.whose)}:{limit.unit}"
