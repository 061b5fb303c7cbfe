"""Interface of limiters: callers, costs, limits and decisions. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

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

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], decision: Decision) -> None:
        """Refund a cost that `charge` charged, in the same windows. Raises nothing."""


def applicable_limits(limits: Sequence[Limit], caller: Caller) -> list[Limit]:
    """Return the limits that count a caller."""
    return [limit for limit in limits if limit.quantity and caller.id(limit.whose)]
