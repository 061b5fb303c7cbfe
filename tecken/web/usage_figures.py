"""Figures of usage: periods, the amounts of each day, and rankings of tokens and users.

Rankings are added up by the database. A ranking reads at most MAX_ROWS rows of the table, and is refused for
a period that has more. All counts are those of the database, to which they are copied every few minutes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from typing import Literal, NamedTuple, get_args

from django.contrib.auth.models import User
from django.db import connection
from django.db.models import Q, QuerySet, Sum
from ninja import Field, Schema

from tecken.accounts.models import Token
from tecken.errors import InvalidInput
from tecken.limits.models import ALL_TOKENS, Usage, utc_today
from tecken.limits.port import Scope, Unit

By = Literal["tokens", "users"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
UNITS: tuple[Unit, ...] = get_args(Unit)
MAX_ROWS = 3_000_000
# Tokens or users that a search may find.
MAX_FOUND = 1_000
# A longer number does not fit into a column.
MAX_DIGITS = 18
MAX_MONTHS = 13
PERIODS = (7, 30, 90)
SHAPE_OF_PERIOD = "7, 30, 90 or a month such as 2026-11"
DEFAULT_PERIOD = "30"
# Parameters that leave rows out.
FILTERS = ("q", "kind")


class Period(NamedTuple):
    """Days that a page shows, both inclusive. `name` is the parameter that selects it."""

    name: str
    first: date
    last: date

    @property
    def days(self) -> list[date]:
        """Return all days."""
        return [self.first + timedelta(n) for n in range((self.last - self.first).days + 1)]

    @property
    def title(self) -> str:
        """Return the period in words."""
        return f"{self.name} days" if self.name.isdigit() else self.name


def parse_period(text: str, today: date) -> Period:
    """Return the period that a parameter selects. Raises InvalidInput."""
    if text in map(str, PERIODS):
        return Period(text, today - timedelta(int(text) - 1), today)
    try:
        first = date.fromisoformat(f"{text}-01")
        last = (first + timedelta(32)).replace(day=1) - timedelta(1)
    except (ValueError, OverflowError):
        raise InvalidInput(f"period: {text[:20]!r} is not {SHAPE_OF_PERIOD}") from None
    return Period(text, first, last)


def list_months(today: date) -> list[str]:
    """Return the names of recent months, the latest first."""
    months, first = [], today.replace(day=1)
    for _ in range(MAX_MONTHS):
        months.append(f"{first:%Y-%m}")
        first = (first - timedelta(1)).replace(day=1)
    return months


class DailyAmounts(NamedTuple):
    """Amounts of a period by scope and unit, one for each of its days."""

    period: Period
    amounts: Mapping[tuple[str, str], list[int]]

    def total(self, unit: Unit) -> int:
        """Return the sum of a unit over all scopes and days."""
        return sum(sum(days) for (_scope, of_unit), days in self.amounts.items() if of_unit == unit)

    @property
    def rows(self) -> Iterator[tuple[date, list[int]]]:
        """Yield the amounts of each day in the order of COLUMNS, the latest day first."""
        for number in reversed(range(len(self.period.days))):
            yield self.period.days[number], [self.amounts[column][number] for column in COLUMNS]


COLUMNS: tuple[tuple[str, str], ...] = (
    ("symbolicate", "requests"),
    ("symbolicate", "frames"),
    ("download", "requests"),
    ("upload", "requests"),
    ("upload", "bytes"),
    ("api", "requests"),
)


def load_days(period: Period, tokens: Iterable[int] = (ALL_TOKENS,)) -> DailyAmounts:
    """Return the amounts of each day: those of some tokens, else those of the whole site."""
    found = Usage.objects.filter(token__in=tokens, day__range=period[1:]).order_by()
    sums = found.values("day", "what", "unit").annotate(used=Sum("amount"))
    amounts = {column: [0] * len(period.days) for column in COLUMNS}
    for day, what, unit, amount in sums.values_list("day", "what", "unit", "used"):
        if (what, unit) in amounts:
            amounts[what, unit][(day - period.first).days] = amount
    return DailyAmounts(period, amounts)


# Rankings

# The inner query stops after MAX_ROWS rows. The windows are computed before the page is cut out.
RANK = """
SELECT {owner}, SUM(used), SUM(SUM(used)) OVER (), COUNT(*) OVER (), SUM(SUM(rows_read)) OVER ()
FROM (
  SELECT token, SUM(amount) AS used, COUNT(*) AS rows_read FROM (
    SELECT token, amount FROM limits_usage WHERE unit = %s AND day BETWEEN %s AND %s AND token >= 0
      AND what IN ({scopes}) {tokens} LIMIT {rows}
  ) AS counted GROUP BY token
) AS sums {join} GROUP BY {owner} ORDER BY SUM(used) {direction}, {owner} LIMIT %s OFFSET %s
"""
OF_USERS = "AND token IN (SELECT id FROM tokens_token WHERE user_id IN ({}))"
JOIN = "LEFT JOIN tokens_token ON tokens_token.id = sums.token"


class Selection(NamedTuple):
    """Rows of a ranking: tokens or users, in a period, of some scopes.

    `tokens` or `users` are those that may be in it, None for all.
    """

    by: By
    period: Period
    scopes: Sequence[str] = SCOPES
    tokens: Collection[int] | None = None
    users: Collection[int] | None = None

    @property
    def is_empty(self) -> bool:
        """Return whether nothing can be in it."""
        return any(numbers is not None and not numbers for numbers in (self.tokens, self.users))

    def conditions(self) -> tuple[str, list[int]]:
        """Return the condition on tokens as SQL, with its parameters."""
        if self.tokens is not None:
            return f"AND token IN ({_marks(self.tokens)})", list(self.tokens)
        if self.users is None:
            return "", []
        return OF_USERS.format(_marks(self.users)), list(self.users)


def _marks(parameters: Collection[object]) -> str:
    return ", ".join("%s" for _ in parameters)


class Ranked(NamedTuple):
    """Sums of one unit by the number of each token or user; 0 stands for requests without one.

    `total` is the sum of all, and `number` how many there are.
    """

    owners: dict[int, int]
    total: int
    number: int


def rank(selection: Selection, unit: Unit, most: int, skipped: int = 0, *, reverse: bool = True) -> Ranked:
    """Return the tokens or users that used most of a unit. Raises InvalidInput for too long a period."""
    if selection.is_empty:
        return Ranked({}, 0, 0)
    condition, numbers = selection.conditions()
    statement = RANK.format(
        owner="sums.token" if selection.by == "tokens" else "tokens_token.user_id",
        scopes=_marks(selection.scopes),
        tokens=condition,
        rows=MAX_ROWS + 1,
        join=JOIN if selection.by == "users" else "",
        direction="DESC" if reverse else "ASC",
    )
    days = [day.isoformat() for day in selection.period[1:]]
    with connection.cursor() as cursor:
        cursor.execute(statement, [unit, *days, *selection.scopes, *numbers, most, skipped])
        rows = cursor.fetchall()
    if rows and int(rows[0][4]) > MAX_ROWS:
        raise InvalidInput(f"More than {MAX_ROWS:,} counts in this period: choose a shorter one, or search")
    total, number = (int(rows[0][2]), int(rows[0][3])) if rows else (0, 0)
    return Ranked({int(row[0] or 0): int(row[1]) for row in rows}, total, number)


class UsageFilters(Schema):
    """Parameters of the list."""

    by: By = "tokens"
    period: str = Field(DEFAULT_PERIOD, description=SHAPE_OF_PERIOD)
    q: str = Field("", max_length=200, description="part of a name, the number, or the beginning of a key")
    kind: Literal["", "symbolicate", "download", "upload", "api"] = ""


def select_usage(values: UsageFilters) -> Selection:
    """Return the rows that the parameters select. Raises InvalidInput."""
    scopes = (values.kind,) if values.kind else SCOPES
    selection = Selection(values.by, parse_period(values.period, utc_today()), scopes)
    if not values.q:
        return selection
    if values.by == "users":
        return selection._replace(users=search_users(values.q))
    return selection._replace(tokens=search_tokens(values.q))


def search_tokens(text: str) -> list[int]:
    """Return the numbers of tokens by number, beginning of the key, or owner. Raises InvalidInput."""
    found = Q(hint__startswith=text) | Q(user__email__icontains=text)
    return _search(Token.objects.filter(found | _by_number(text)))


def search_users(text: str) -> list[int]:
    """Return the numbers of users by number, name or address of email. Raises InvalidInput."""
    found = Q(email__icontains=text) | Q(username__icontains=text)
    return _search(User.objects.filter(found | _by_number(text)))


def _by_number(text: str) -> Q:
    is_number = text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS
    return Q(pk=int(text)) if is_number else Q()


def _search(rows: QuerySet[Token] | QuerySet[User]) -> list[int]:
    numbers = list(rows.values_list("pk", flat=True)[: MAX_FOUND + 1])
    if len(numbers) > MAX_FOUND:
        raise InvalidInput(f"q: more than {MAX_FOUND:,} match; write more of the name")
    return numbers
