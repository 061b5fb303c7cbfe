"""Time of the page of usage on PostgreSQL with the tokens and days of a large site.

    python -m tests.support.postgres python -m bench.usage [--tokens N] [--active N] [--days N]

Fills the database of DATABASE_URL, which must be empty, and prints for each page the number of queries, and
the median and slowest of ROUNDS requests in milliseconds. Each active token has three rows a day.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time

from bench import rig

ROUNDS = 7
PEOPLE = 1_000
USERS = """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
  date_joined)
SELECT '', false, 'user' || n || '@example.com', '', '', 'user' || n || '@example.com', false, true, now()
FROM generate_series(1, %(people)s) n
"""
TOKENS = """
INSERT INTO tokens_token (user_id, digest, hint, expires_at, notes, created_at)
SELECT people.first + n %% %(people)s, md5(n::text), left(md5(n::text), 8), now() + interval '1 year', '',
  now()
FROM generate_series(1, %(tokens)s) n, (SELECT min(id) AS first FROM auth_user) people
"""
# Other tokens are active on each day.
USAGE = """
INSERT INTO limits_usage (day, what, unit, token, amount)
SELECT current_date - d, kind.what, kind.unit, 1 + (d::bigint * 7919 + n) %% %(tokens)s,
  (random() * random() * 1e6)::bigint
FROM generate_series(0, %(days)s - 1) d, generate_series(1, %(active)s) n,
  (VALUES ('symbolicate', 'requests'), ('symbolicate', 'frames'), ('upload', 'bytes')) kind (what, unit)
"""
TOTALS = """
INSERT INTO limits_usage (day, what, unit, token, amount)
SELECT day, what, unit, -1, SUM(amount) FROM limits_usage GROUP BY day, what, unit
"""
PAGES = {
    "tokens, 7 days": "?period=7",
    "tokens, 30 days": "?period=30",
    "tokens, 90 days": "?period=90",
    "tokens by bytes, 90 days": "?period=90&sort=bytes&reverse=true",
    "tokens, 90 days, page 200": "?period=90&page=200",
    "tokens of some users, 90 days": "?period=90&q=user777@",
    "users, 30 days": "?period=30&by=users",
    "users, 90 days": "?period=90&by=users",
    "a user, 90 days": "users/{user}/?period=90",
    "a token, 90 days": "tokens/1/?period=90",
    "CSV, 30 days": "?period=30&format=csv",
}


def main() -> None:
    options = arguments()
    of_postgres = {"DATABASE_URL": os.environ["DATABASE_URL"], "ALLOWED_HOSTS": "testserver"}
    with rig.redis_pair(**of_postgres) as environment:
        rig.enter(environment)
        fill(options)
        measure()


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tokens", type=int, default=100_000)
    parser.add_argument("--active", type=int, default=5_000, help="tokens that are used on a day")
    parser.add_argument("--days", type=int, default=366)
    return parser.parse_args()


def fill(options: argparse.Namespace) -> None:
    from django.core.management import call_command  # noqa: PLC0415 - after Django is set up
    from django.db import connection  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        for statement in (USERS, TOKENS, USAGE, TOTALS):
            began = time.perf_counter()
            cursor.execute(statement, {"people": PEOPLE, **vars(options)})
            print(f"{cursor.rowcount:>10,} rows in {time.perf_counter() - began:.0f} s", flush=True)
        cursor.execute("VACUUM ANALYZE")


def measure() -> None:
    from django.contrib.auth.models import User  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415
    from django.test import Client  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    from tecken.runtimeconfig import service  # noqa: PLC0415

    limits = {"limit_symbolicate": "100 frames/day per token, 9 requests/second per user"}
    service.change(limits, by="bench", source="cli")
    client, user = Client(), User.objects.order_by("pk")[77].pk
    client.force_login(User.objects.create_superuser("admin@example.com"))
    rows = []
    for name, query in PAGES.items():
        took = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            with CaptureQueriesContext(connection) as queries:
                response = client.get("/usage/" + query.format(user=user))
            took.append(1000 * (time.perf_counter() - began))
            assert response.status_code == 200, response.content
        rows.append((name, len(queries), f"{statistics.median(took):.0f}", f"{max(took):.0f}"))
    rig.table(["page", "queries", "median ms", "slowest ms"], rows)


if __name__ == "__main__":
    main()
