"""Table of daily usage, copied from redis-cache, where it is deleted when its day is over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple, cast

import redis
from django.db import connection, models, transaction

from tecken.limits.port import QUOTA
from tecken.limits.usage import DAY, VERSION

NO_TOKEN = 0
# The totals of a day, so that a chart of the whole site does not add up the rows of all tokens.
ALL_TOKENS = -1


class Usage(models.Model):
    """Amount that a token used on one day of UTC.

    `token` is no foreign key, so that the usage of a deleted token stays.
    """

    day = models.DateField()
    what = models.CharField(max_length=32)
    unit = models.CharField(max_length=16)
    token = models.BigIntegerField(
        help_text=f"number of the token; {NO_TOKEN}: requests without one; {ALL_TOKENS}: the sum of all"
    )
    amount = models.BigIntegerField()

    class Meta:
        """One row for each day, subject, unit and token. `usage_by_unit` has all that a ranking reads."""

        constraints = (models.UniqueConstraint(fields=("day", "what", "unit", "token"), name="usage_once"),)
        indexes = (
            models.Index(fields=("token", "-day"), name="usage_of_token"),
            models.Index(fields=("unit", "day", "token", "what", "amount"), name="usage_by_unit"),
        )

    def __str__(self) -> str:
        return f"{self.day} {self.what}: {self.amount} {self.unit}"


# Copy of the days on redis-cache

# A batch may arrive late, so yesterday is kept as well.
KEPT_DAYS = 2
SCANNED = 1000
# PostgreSQL and SQLite have no common function for the larger of two numbers, hence CASE.
WRITE = """
INSERT INTO limits_usage (day, what, unit, token, amount) VALUES (%s, %s, %s, %s, %s)
ON CONFLICT (day, what, unit, token) DO UPDATE
SET amount = CASE WHEN excluded.amount > limits_usage.amount THEN excluded.amount ELSE limits_usage.amount END
"""


class DailyUsage(NamedTuple):
    """Row of the model Usage. `what` is a scope, or a version of the API such as `v5`."""

    day: date
    what: str
    unit: str
    token: int
    amount: int


def read_days(client: redis.Redis) -> list[DailyUsage]:
    """Return the usage on redis-cache. Raises redis.RedisError."""
    return [row for name in _names(client) for row in _rows(client, name)]


def roll_up_days(client: redis.Redis, today: date) -> int:
    """Write every day on redis-cache to the database, and return the number of rows.

    Safe to run twice, also at the same time: an amount never decreases, so neither a second write nor an
    emptied Redis takes anything away.

    Raises DatabaseError, redis.RedisError.
    """
    written, over = 0, today - timedelta(KEPT_DAYS)
    for name in _names(client):
        rows = _rows(client, name)
        _write([*rows, *_sum_tokens(rows)])
        written += len(rows)
        if _day(name) < over:
            client.delete(name)
    _delete_quotas(client, over)
    return written


def utc_today() -> date:
    """Return the present day in UTC."""
    return datetime.now(UTC).date()


def _names(client: redis.Redis) -> Iterator[str]:
    for prefix in (DAY, VERSION):
        for name in client.scan_iter(match=f"{prefix}*", count=SCANNED):
            yield cast("bytes", name).decode()


def _rows(client: redis.Redis, name: str) -> list[DailyUsage]:
    day = _day(name)
    if name.startswith(VERSION):
        amount = cast("bytes | None", client.get(name)) or 0
        return [DailyUsage(day, name.split(":")[1], "requests", NO_TOKEN, int(amount))]
    fields = cast("dict[bytes, bytes]", client.hgetall(name))
    return [_row(day, field.decode(), int(amount)) for field, amount in sorted(fields.items())]


def _row(day: date, field: str, amount: int) -> DailyUsage:
    what, unit, token = field.split(":")
    return DailyUsage(day, what, unit, int(token or NO_TOKEN), amount)


def _day(name: str) -> date:
    return datetime.strptime(name.rpartition(":")[2], "%Y%m%d").replace(tzinfo=UTC).date()


def _sum_tokens(rows: Iterable[DailyUsage]) -> list[DailyUsage]:
    totals: Counter[tuple[date, str, str]] = Counter()
    for row in rows:
        totals[row.day, row.what, row.unit] += row.amount
    return [DailyUsage(*name, ALL_TOKENS, amount) for name, amount in totals.items()]


def _write(rows: Iterable[DailyUsage]) -> None:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(WRITE, [(row.day.isoformat(), *row[1:]) for row in rows])


def _delete_quotas(client: redis.Redis, over: date) -> None:
    """Delete the quotas whose windows ended before the day `over`."""
    ended = {"day": f"{over:%Y%m%d}", "month": f"{over:%Y%m}"}
    for window, name in ended.items():
        for key in client.scan_iter(match=f"{QUOTA}{window}:*", count=SCANNED):
            if cast(Any, key).decode().rpartition(":")[2] < name:
                client.delete(key)
