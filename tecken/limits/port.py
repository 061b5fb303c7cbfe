"""Interface of limiters: callers, costs, limits and decisions, with their texts, headers and keys. Pure.

Names of keys in the database of counters:

    limits:rate:<scope>:<whose>:<id>:<unit>:<window>    level and its time; expires when the level is zero
    limits:quota:<window>:<20261121 or 202611>          a hash; `spend.lua` adds the day or month
        <scope>:<whose>:<id>:<unit>                         the amount

Texts of limits are `600 requests/minute per address` or `20 GiB/month per user`. The headers are those of
draft-ietf-httpapi-ratelimit-headers, structured fields.
"""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Iterable, Sequence
from typing import Literal, NamedTuple, Protocol, cast

from tecken.errors import RateLimited, TooLarge

Scope = Literal["symbolicate", "download", "upload", "api"]
Unit = Literal["requests", "frames", "bytes"]
Window = Literal["second", "minute", "hour", "day", "month"]
Whose = Literal["address", "token", "user"]
Without = Literal["open", "closed", "local"]

SECONDS: dict[Window, float] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
"""Length of each window that has a fixed one. A month has none."""
CALENDAR: tuple[Window, ...] = ("day", "month")


class Caller(NamedTuple):
    """Client that a request counts for: its network address, and the numbers of token and user, if known."""

    address: str = ""
    token: int | None = None
    user: str = ""

    def id(self, whose: Whose) -> str:
        """Return the id that a limit counts by; empty if the caller has none.

        A known user does not count for an address, which may be that of a whole company.
        """
        if whose == "address":
            return "" if self.user else self.address
        if whose == "user":
            return self.user
        return "" if self.token is None else str(self.token)


class Cost(NamedTuple):
    """Amounts that a request spends."""

    requests: int = 1
    frames: int = 0
    bytes: int = 0

    def of(self, unit: Unit) -> int:
        """Return the amount in a unit."""
        amount: int = getattr(self, unit)
        return amount


class Limit(NamedTuple):
    """Quantity of a unit that is allowed in a window.

    Windows of seconds to hours are rates: the quantity may be spent at once, and refills evenly. Day and
    month are quotas of the calendar, in UTC. `without` is the rule while redis-cache does not answer.
    """

    scope: Scope
    quantity: int
    unit: Unit
    window: Window
    whose: Whose
    without: Without = "open"

    @property
    def name(self) -> str:
        """Return the name in headers and errors."""
        return f"{self.unit}-{self.window}-{self.whose}"

    @property
    def is_rate(self) -> bool:
        """Return whether the window slides, unlike those of the calendar."""
        return self.window not in CALENDAR

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit}/{self.window} per {self.whose}"


class LimitStatus(NamedTuple):
    """State of a limit for a caller: `remaining` in the limit's unit, `reset` in seconds.

    `reset` is the time until the end of a quota's window. For a rate it is the time until one more is
    available, or, if the rate refused a cost, until the whole cost is.
    """

    limit: Limit
    remaining: int
    reset: float


class Decision(NamedTuple):
    """Decision that allows a cost. `at` is in microseconds since the epoch, by the clock that decided.

    `local` is True when the process decided alone.
    """

    statuses: tuple[LimitStatus, ...] = ()
    local: bool = False
    at: int = 0


class Limiter(Protocol):
    """Counter of all limits."""

    @property
    def local(self) -> bool:
        """Return whether this process decides alone, because redis-cache does not answer."""

    def charge(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        """Charge a cost to all limits that apply, or to none.

        Raises:
            RateLimited: A limit is reached.
            TooLarge: The cost is more than a limit allows, so waiting does not help.
            Unavailable: redis-cache does not answer, and a limit is closed without it.
        """

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> None:
        """Charge a cost that is spent already, also above a limit. Raises nothing.

        The caller is refused until it has waited for what is above.
        """

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], decision: Decision) -> None:
        """Refund a cost that `charge` charged, in the same windows. Raises nothing."""

    def inspect(self, items: Sequence[tuple[Caller, Limit]]) -> list[LimitStatus]:
        """Return the state of limits of several callers, in one round trip. Charges nothing.

        Raises:
            Unavailable: redis-cache does not answer.
        """


def applicable_limits(limits: Sequence[Limit], caller: Caller) -> list[Limit]:
    """Return the limits that count a caller."""
    return [limit for limit in limits if limit.quantity and caller.id(limit.whose)]


# Decisions and headers

UNITS = {"requests": "", "frames": ';qu="frames"', "bytes": ';qu="content-bytes"'}


def policy_header(statuses: Iterable[LimitStatus]) -> str:
    """Return the value of RateLimit-Policy: `"requests-minute-address";q=600;w=60, ...`."""
    return ", ".join(map(_policy, (status.limit for status in statuses)))


def status_header(statuses: Iterable[LimitStatus]) -> str:
    """Return the value of RateLimit: `"requests-minute-address";r=599;t=1, ...`. `t` is in whole seconds."""
    return ", ".join(
        f'"{status.limit.name}";r={status.remaining};t={math.ceil(status.reset)}' for status in statuses
    )


def _policy(limit: Limit) -> str:
    # A month has no fixed number of seconds, so its policy has no window.
    seconds = SECONDS.get(limit.window)
    window = f";w={seconds:.0f}" if seconds else ""
    return f'"{limit.name}";q={limit.quantity}{window}{UNITS[limit.unit]}'


class Evaluation(NamedTuple):
    """Result of one check: whether each limit refuses the cost.

    `refusing` has one value for each status. `at` is in microseconds since the epoch.
    """

    allowed: bool
    at: int
    statuses: tuple[LimitStatus, ...]
    refusing: tuple[bool, ...]


def enforce(evaluation: Evaluation, *, local: bool = False) -> Decision:
    """Return the decision of an evaluation that allows the cost. Raise RateLimited otherwise."""
    if evaluation.allowed:
        return Decision(evaluation.statuses, local, evaluation.at)
    pairs = zip(evaluation.statuses, evaluation.refusing, strict=True)
    refused = [status for status, refuses in pairs if refuses]
    worst = max(refused, key=lambda status: status.reset)
    names = tuple(status.limit.name for status in refused)
    raise RateLimited(f"More than {worst.limit}", worst.reset, names, evaluation.statuses)


def check_size(cost: Cost, limits: Sequence[Limit]) -> None:
    """Raise TooLarge for a cost that no waiting would allow."""
    for limit in limits:
        if cost.of(limit.unit) > limit.quantity:
            raise TooLarge(f"{cost.of(limit.unit)} {limit.unit} at once are more than {limit}")


# Keys

RATE = "limits:rate:"
QUOTA = "limits:quota:"


def key_of(limit: Limit, caller: Caller) -> str:
    """Return the key of a rate, or that of a quota without the day or month."""
    return f"{RATE}{member_of(limit, caller)}:{limit.window}" if limit.is_rate else f"{QUOTA}{limit.window}:"


def member_of(limit: Limit, caller: Caller) -> str:
    """Return the part of a name that identifies the scope, the caller and the unit."""
    return f"{limit.scope}:{limit.whose}:{caller.id(limit.whose)}:{limit.unit}"


# Texts

SIZES = {f"{letter}iB": 1024**power for power, letter in enumerate("KMGT", 1)}
SHAPE = re.compile(
    rf"(\d{{1,15}}) *(requests|frames|bytes|{'|'.join(SIZES)}) */ *(second|minute|hour|day|month)"
    r" +per +(address|token|user)",
    re.ASCII,
)


def parse_limit(text: str, scope: Scope = "api", without: Without = "open") -> Limit:
    """Return the limit that a text describes. Raises ValueError with a sentence for the operator."""
    match = SHAPE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not like 600 requests/minute per address")
    quantity, unit, window, whose = match.groups()
    if window in CALENDAR and whose == "address":
        raise ValueError(f"{text!r}: addresses are too many to be counted for a {window}")
    if not int(quantity):
        raise ValueError(f"{text!r} would allow nothing")
    return Limit(
        scope,
        int(quantity) * SIZES.get(unit, 1),
        cast("Unit", "bytes" if unit in SIZES else unit),
        cast("Window", window),
        cast("Whose", whose),
        without,
    )


def check_texts(texts: Sequence[str], units: Collection[Unit]) -> None:
    """Raise ValueError for a malformed or repeated limit, or a unit that its scope does not count."""
    names = set()
    for item in map(parse_limit, texts):
        if item.unit not in units:
            raise ValueError(f"only {' and '.join(units)} are counted there, no {item.unit}")
        if item.name in names:
            raise ValueError(f"{item.unit}/{item.window} per {item.whose} is given twice")
        names.add(item.name)
