"""How often, how much, and by whom: what callers of a limiter know. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple, Protocol

Scope = Literal["symbolicate", "download", "upload", "api"]
Unit = Literal["requests", "frames", "bytes"]
Window = Literal["second", "minute", "hour", "day", "month"]
Whose = Literal["address", "token", "user"]
Without = Literal["open", "closed", "local"]

SECONDS: dict[Window, float] = {"second": 1, "minute": 60, "hour": 3600, "day": 86_400}
"""A month has no such number."""
CALENDAR: tuple[Window, ...] = ("day", "month")


class Caller(NamedTuple):
    """`address` as people write it, `token` and `user` by their numbers; '' for nobody."""

    address: str = ""
    token: int | None = None
    user: str = ""

    def id(self, whose: Whose) -> str:
        """Empty where there is none; whoever is known by name does not count for an address."""
        if whose == "address":
            return "" if self.user else self.address
        if whose == "user":
            return self.user
        return "" if self.token is None else str(self.token)


class Cost(NamedTuple):
    requests: int = 1
    frames: int = 0
    bytes: int = 0

    def of(self, unit: Unit) -> int:
        amount: int = getattr(self, unit)
        return amount


class Limit(NamedTuple):
    """So many in a window: seconds to hours are rates (all at once, then as they refill), day and month are
    quotas of the calendar in UTC. `without` is what holds while Redis is away."""

    scope: Scope
    quantity: int
    unit: Unit
    window: Window
    whose: Whose
    without: Without = "open"

    @property
    def name(self) -> str:
        return f"{self.unit}-{self.window}-{self.whose}"

    @property
    def is_rate(self) -> bool:
        return self.window not in CALENDAR

    def __str__(self) -> str:
        return f"{self.quantity} {self.unit}/{self.window} per {self.whose}"


class LimitStatus(NamedTuple):
    """`remaining` in the limit's unit; `reset`: seconds until there is more. That is the end of a quota's
    window; of a rate one more, or, where it refused, as much as was asked for."""

    limit: Limit
    remaining: int
    reset: float


class Decision(NamedTuple):
    """`at` is the moment of the decision, microseconds of the epoch by the clock of whoever decided."""

    statuses: tuple[LimitStatus, ...] = ()
    local: bool = False
    at: int = 0


class Limiter(Protocol):
    @property
    def local(self) -> bool:
        """Whether this process decides alone, as Redis does not answer."""

    def spend(self, caller: Caller, cost: Cost, limits: Sequence[Limit]) -> Decision:
        """Counts for all limits that apply, or for none. Raises OverLimit; TooMuch for a cost that no waiting
        would allow; CouldNotAsk where a limit is closed without Redis."""

    def refund(self, caller: Caller, cost: Cost, limits: Sequence[Limit], verdict: Decision) -> None:
        """Gives back what `spend` took, from the same windows. Raises nothing."""


def applicable_limits(limits: Sequence[Limit], caller: Caller) -> list[Limit]:
    return [limit for limit in limits if limit.quantity and caller.id(limit.whose)]
