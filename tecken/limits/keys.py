"""Names of keys in the database of counters.

limits:rate:<scope>:<whose>:<id>:<unit>:<window>    level and its time; expires when the level is zero
limits:quota:<window>:<20261121 or 202611>          a hash; `spend.lua` adds the day or month
    <scope>:<whose>:<id>:<unit>                         the amount
"""

from __future__ import annotations

from tecken.limits.port import Caller, Limit

RATE = "limits:rate:"
QUOTA = "limits:quota:"


def key(limit: Limit, caller: Caller) -> str:
    """Return the key of a rate, or that of a quota without the day or month."""
    return f"{RATE}{member(limit, caller)}:{limit.window}" if limit.is_rate else f"{QUOTA}{limit.window}:"


def member(limit: Limit, caller: Caller) -> str:
    """Return the part of a name that identifies the scope, the caller and the unit."""
    return f"{limit.scope}:{limit.whose}:{caller.id(limit.whose)}:{limit.unit}"
