"""Rows of lists of usage: names and amounts of tokens and users, and the used share of their limits."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from django.contrib.auth.models import User

from tecken.accounts.models import Token
from tecken.errors import Unavailable
from tecken.http.keyset import Order
from tecken.http.ratelimit import limits_in_force, limits_of
from tecken.limits import services as limits_services
from tecken.limits.exceptions import format_limit
from tecken.limits.port import Caller, Limit, LimitStatus, Scope, Unit, Whose
from tecken.web.lists import DEEPEST_PAGE, PAGE_ROWS, ListPage, Paging, parse_order
from tecken.web.usage_figures import (
    SCOPES,
    UNITS,
    By,
    Ranked,
    Selection,
    UsageFilters,
    rank,
    select_usage,
)

# Limits that one script inspects: redis-cache does nothing else meanwhile.
MAX_INSPECTED = 500
# Share of a limit from which it counts as nearly reached.
NEARLY = 0.8


class LimitUse(NamedTuple):
    """Limit of a token or user, and the used share of it."""

    scope: Scope
    text: str
    share: float
    is_exception: bool

    @property
    def grade(self) -> str:
        """Return `bad` for a limit that is reached, `late` for one that nearly is, else ""."""
        return "bad" if self.share >= 1 else "late" if self.share >= NEARLY else ""


class Owner(NamedTuple):
    """Token or user. `user` is the number of the user who owns it, 0 if there is none.

    `notes` are for the owner's eyes only.
    """

    number: int
    name: str
    user: int = 0
    email: str = ""
    notes: str = ""

    def caller(self, by: By) -> Caller:
        """Return the caller that its limits count."""
        return Caller("", self.number if by == "tokens" else None, str(self.user))


class UsageRow(NamedTuple):
    """Token or user in a ranking. `share` is that of the unit that the list is sorted by.

    An amount is None if it is not known; `limits` is None while redis-cache does not answer.
    """

    owner: Owner
    amounts: Mapping[str, int | None]
    share: float
    limits: Sequence[LimitUse] | None


def load_rows(
    selection: Selection, unit: Unit, most: int, skipped: int = 0, *, reverse: bool = True
) -> tuple[list[UsageRow], Ranked]:
    """Return rows of a ranking with names, other amounts and limits, in a number of queries that is fixed."""
    ranked = rank(selection, unit, most, skipped, reverse=reverse)
    owners = load_owners(selection.by, list(ranked.owners))
    others = _rank_others(selection, unit, list(ranked.owners))
    uses = load_limit_uses(selection.by, list(owners.values()))
    amounts = {unit: ranked.owners, **others}
    rows = [
        UsageRow(
            owners[number],
            {name: amounts[name].get(number) for name in UNITS},
            used / ranked.total if ranked.total else 0.0,
            None if uses is None else uses[number],
        )
        for number, used in ranked.owners.items()
    ]
    return rows, ranked


def load_ranking(values: UsageFilters, paging: Paging) -> ListPage[UsageRow]:
    """Return the page of a ranking that the parameters select. Raises InvalidInput."""
    order, skipped = parse_order(paging, UNITS), (paging.page - 1) * PAGE_ROWS
    rows, ranked = load_rows(select_usage(values), unit_of(order), PAGE_ROWS, skipped, reverse=order.reverse)
    # A ranking is added up again for each page, so its pages have numbers only.
    has_next = ranked.number > skipped + PAGE_ROWS and paging.page < DEEPEST_PAGE
    return ListPage(
        rows, paging.page, str(paging.page + 1) if has_next else None, ranked.number, total_is_exact=True
    )


def unit_of(order: Order) -> Unit:
    """Return the unit of the column that a ranking is sorted by."""
    return next(unit for unit in UNITS if unit == order.column)


def _rank_others(selection: Selection, unit: Unit, numbers: list[int]) -> dict[str, dict[int, int]]:
    """Return the amounts of the other units. Those of requests without a user are not known."""
    if selection.by == "users":
        known = [number for number in numbers if number]
        narrow = selection._replace(users=known, tokens=None)
    else:
        known, narrow = numbers, selection._replace(tokens=numbers, users=None)
    zeros = dict.fromkeys(known, 0)
    return {name: zeros | rank(narrow, name, len(numbers)).owners for name in UNITS if name != unit}


def load_owners(by: By, numbers: Collection[int]) -> dict[int, Owner]:
    """Return the names of tokens or users, also of those that were deleted."""
    if by == "users":
        people = User.objects.filter(pk__in=numbers)
        found = {user.pk: Owner(user.pk, _name_of(user), user.pk, _name_of(user)) for user in people}
    else:
        tokens = Token.objects.filter(pk__in=numbers).select_related("user")
        found = {
            token.pk: Owner(token.pk, str(token), token.user_id, _name_of(token.user), token.notes)
            for token in tokens
        }
    return {number: found.get(number) or Owner(number, _missing_name(by, number)) for number in numbers}


def _name_of(user: User) -> str:
    return user.email or user.get_username()


def _missing_name(by: By, number: int) -> str:
    if by == "users":
        return f"deleted user {number}" if number else "without a user"
    return f"deleted token {number}" if number else "without a token"


def load_limit_uses(by: By, owners: Sequence[Owner]) -> dict[int, list[LimitUse]] | None:
    """Return the limits of each owner, None while redis-cache does not answer; one round trip a page."""
    whose: Whose = "token" if by == "tokens" else "user"
    items = [
        (owner, limit)
        for owner in owners
        if owner.user
        for scope in SCOPES
        for limit in limits_of(scope, owner.caller(by))
        if limit.whose == whose
    ]
    try:
        statuses = _inspect([(owner.caller(by), limit) for owner, limit in items])
    except Unavailable:
        return None
    uses: dict[int, list[LimitUse]] = {owner.number: [] for owner in owners}
    for (owner, limit), status in zip(items, statuses, strict=True):
        share = (limit.quantity - status.remaining) / limit.quantity
        is_exception = limit not in limits_in_force(limit.scope)
        uses[owner.number].append(LimitUse(limit.scope, format_limit(limit, ","), share, is_exception))
    return {number: sorted(found, key=lambda use: -use.share) for number, found in uses.items()}


def _inspect(items: Sequence[tuple[Caller, Limit]]) -> list[LimitStatus]:
    limiter = limits_services.limiter()
    batches = (items[first : first + MAX_INSPECTED] for first in range(0, len(items), MAX_INSPECTED))
    return [status for batch in batches for status in limiter.inspect(batch)]
