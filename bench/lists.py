"""Time of the lists of /api/ on PostgreSQL with the number of rows of a large site.

    python -m tests.support.postgres python -m bench.lists [--uploads N] [--files N] [--missing N] [--explain]

Fills the database of DATABASE_URL, which must be empty, and asks for each list through the whole API, token
and JSON too. Prints the median and the slowest of ROUNDS requests in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator

from bench.rig import IMAGES
from tests.support.redis_server import RedisServer

ROUNDS = 9
PEOPLE = 40

USERS = """
INSERT INTO auth_user (password, is_superuser, username, first_name, last_name, email, is_staff, is_active,
  date_joined)
SELECT '', false, 'user' || n || '@example.com', '', '', 'user' || n || '@example.com', false, true, now()
FROM generate_series(1, %(people)s) n
"""
# Two years of uploads. A few machines made most, the last user one in a thousand; some were never completed.
UPLOADS = """
INSERT INTO upload_upload (user_id, filename, bucket_name, try_symbols, protocol, size, content_hash,
  download_url, redirect_urls, skipped_keys, ignored_keys, warnings, members_total, members_done, error,
  created_at, completed_at)
SELECT people.first
    + CASE WHEN n %% 1000 = 0 THEN %(people)s - 1 ELSE (random() * random() * (%(people)s - 2))::int END,
  'symbols-' || md5(n::text) || '.zip', 'bucket', n %% 3 = 0, 'v1', (random() * random() * 1e9)::bigint,
  md5(n::text), '', '[]', '["v1/a/b/c"]', '[]', '[]', 100, 100, '',
  at, CASE WHEN n %% 5000 = 0 THEN NULL ELSE at END
FROM generate_series(1, %(rows)s) n, (SELECT min(id) AS first FROM auth_user) people,
  LATERAL (SELECT now() - (%(rows)s - n) * interval '2 years' / %(rows)s AS at) moment
"""
FILES = """
INSERT INTO upload_fileupload (upload_id, bucket_name, key, debug_file, debug_id, code_file, code_id,
  generator, size, original_size, content_hash, etag, compressed, update, try_symbols, created_at,
  completed_at)
SELECT uploads.first + (n::bigint * uploads.rows / (%(rows)s + 1))::int, 'bucket',
  'v1/' || name || '/' || id || '/' || name || '.sym', name, id, name, md5(n::text), 'dump_syms 2.3',
  (random() * random() * 1e8)::bigint, 1000, md5(n::text), md5(n::text), true, false, n %% 3 = 0, at, at
FROM generate_series(1, %(rows)s) n, (SELECT min(id) AS first, count(*) AS rows FROM upload_upload) uploads,
  LATERAL (SELECT now() - (%(rows)s - n) * interval '2 years' / %(rows)s AS at,
    'lib' || n %% 5000 || '.so' AS name, upper(md5(n::text)) || '0' AS id) file
"""
# Half of them were asked for once.
MISSING = """
INSERT INTO download_missingsymbol (digest, debug_file, debug_id, code_file, code_id, count, last_seen)
SELECT md5(n::text), 'lib' || n %% 50000 || '.so', upper(md5(n::text)) || '0',
  CASE WHEN n %% 4 = 0 THEN 'app.exe' ELSE '' END, '', 1 + (random() * random() * random() * 100)::int,
  now() - random() * interval '30 days'
FROM generate_series(1, %(rows)s) n
"""
ASKED: dict[str, tuple[str, dict[str, object]]] = {
    "uploads, all": ("/api/uploads/", {}),
    "uploads, page 200": ("/api/uploads/", {"page": 200}),
    "uploads, largest": ("/api/uploads/", {"sort": "size", "reverse": "true"}),
    "uploads, >=900MB": ("/api/uploads/", {"size": ">=900MB"}),
    "uploads, a day": ("/api/uploads/", {"created_at": "yesterday"}),
    "uploads, unfinished": ("/api/uploads/", {"completed_at": "null"}),
    "uploads, by name's start": ("/api/uploads/", {"filename": "symbols-abcd"}),
    "uploads, try": ("/api/uploads/", {"try_symbols": "true"}),
    "uploads, a busy machine": ("/api/uploads/", {"user": "user1@example.com"}),
    "uploads, a rare person": ("/api/uploads/", {"user": f"user{PEOPLE}@example.com"}),
    "uploads, a rare person's largest": (
        "/api/uploads/",
        {"user": f"user{PEOPLE}@example.com", "sort": "size", "reverse": "true"},
    ),
    "files, all": ("/api/uploads/files/", {}),
    "files, largest": ("/api/uploads/files/", {"sort": "size", "reverse": "true"}),
    "files, by key's start": ("/api/uploads/files/", {"key": "v1/lib77.so/"}),
    "files, by debug file": ("/api/uploads/files/", {"debug_file": "lib77.so"}),
    "files, >=90MB": ("/api/uploads/files/", {"size": ">=90MB"}),
    "missing, latest": ("/api/downloads/missing/", {}),
    "missing, page 200": ("/api/downloads/missing/", {"page": 200}),
    "missing, most wanted": ("/api/downloads/missing/", {"sort": "count", "reverse": "true"}),
    "missing, wanted once": ("/api/downloads/missing/", {"sort": "count"}),
    "missing, of a file": ("/api/downloads/missing/", {"debug_file": "lib77.so"}),
    "missing, by code file": ("/api/downloads/missing/", {"code_file": "app.exe"}),
    "missing, often and today": ("/api/downloads/missing/", {"count": ">=30", "last_seen": "today"}),
}
"""Name of a line -> path, parameters."""


def main() -> None:
    options = arguments()
    with (
        RedisServer(IMAGES / "redis-cache" / "redis.conf") as cache,
        RedisServer(IMAGES / "redis" / "redis.conf") as store,
    ):
        os.environ.update(
            DJANGO_SETTINGS_MODULE="tecken.settings",
            SECRET_KEY="bench",
            ALLOWED_HOSTS="testserver",
            REDIS_URL=cache.url,
            REDIS_STORE_URL=store.url,
        )
        import django  # noqa: PLC0415 - reads the environment

        django.setup()
        fill(options)
        measure(options.explain)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--uploads", type=int, default=1_000_000)
    parser.add_argument("--files", type=int, default=5_000_000)
    parser.add_argument("--missing", type=int, default=5_000_000)
    parser.add_argument("--explain", action="store_true", help="show the plans of requests above 20 ms")
    return parser.parse_args()


def fill(options: argparse.Namespace) -> None:
    from django.core.management import call_command  # noqa: PLC0415 - as above
    from django.db import connection  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(USERS, {"people": PEOPLE})
        for statement, rows in (
            (UPLOADS, options.uploads),
            (FILES, options.files),
            (MISSING, options.missing),
        ):
            began = time.perf_counter()
            cursor.execute(statement, {"rows": rows, "people": PEOPLE})
            print(f"{rows:>10,} rows in {time.perf_counter() - began:.0f} s", flush=True)
        cursor.execute("VACUUM ANALYZE")


def clients() -> Iterator[tuple[str, str]]:
    """Return the users who send requests, and their keys."""
    from django.contrib.auth.models import User  # noqa: PLC0415

    from tecken.accounts.tokens import find_permissions, issue  # noqa: PLC0415

    auditor = User.objects.create_user("auditor@example.com")
    busy, rare = (User.objects.get(username=f"user{n}@example.com") for n in (1, PEOPLE))
    for who, user, permission in (
        ("", auditor, "upload.view_all_uploads"),
        (" (own, many)", busy, "upload.upload_symbols"),
        (" (own, few)", rare, "upload.upload_symbols"),
    ):
        user.user_permissions.set(find_permissions([permission]))
        yield who, issue(User.objects.get(pk=user.pk), list(find_permissions([permission])), days=1)[1]


def measure(explain: bool) -> None:
    from django.test import Client  # noqa: PLC0415

    for number, (who, key) in enumerate(clients()):
        client = Client(headers={"Auth-Token": key})
        milliseconds(client, "/api/stats/", {})  # the first one connects
        for name, (path, parameters) in (ASKED | deep()).items():
            if number and ("user" in parameters or "missing" in path):
                continue
            took = [milliseconds(client, path, parameters) for _ in range(ROUNDS)]
            print(f"{statistics.median(took):8.1f} {max(took):8.1f} ms  {name}{who}", flush=True)
            if explain and statistics.median(took) > 20:
                show_plans(client, path, parameters)
    for path in ("/api/stats/", "/api/syminfo/lib77.so/" + "0" * 33):
        took = [milliseconds(client, path, {}) for _ in range(ROUNDS)]
        print(f"{statistics.median(took):8.1f} {max(took):8.1f} ms  {path}", flush=True)


def deep() -> dict[str, tuple[str, dict[str, object]]]:
    """Return a position behind nine tenths of all rows."""
    from tecken.download.models import MissingSymbol  # noqa: PLC0415
    from tecken.http.keyset import Order  # noqa: PLC0415
    from tecken.upload.models import Upload  # noqa: PLC0415
    from tecken.web.lists import make_cursor  # noqa: PLC0415

    asked: dict[str, tuple[str, dict[str, object]]] = {}
    for model, column, path in (
        (Upload, "created_at", "/api/uploads/"),
        (MissingSymbol, "last_seen", "/api/downloads/missing/"),
    ):
        rows = model.objects.order_by(f"-{column}", "-pk")
        place = make_cursor(rows[rows.count() * 9 // 10], Order(column, True))
        asked[f"{path} at nine tenths"] = (path, {"after": place})
    return asked


def milliseconds(client: object, path: str, parameters: dict[str, object]) -> float:
    began = time.perf_counter()
    reply = client.get(path, parameters)  # type: ignore[attr-defined]
    took = 1000 * (time.perf_counter() - began)
    assert reply.status_code in (200, 404), reply.content
    return took


def show_plans(client: object, path: str, parameters: dict[str, object]) -> None:
    from django.db import connection  # noqa: PLC0415
    from django.test.utils import CaptureQueriesContext  # noqa: PLC0415

    with CaptureQueriesContext(connection) as queries:
        milliseconds(client, path, parameters)
    with connection.cursor() as cursor:
        for query in queries:
            if float(query["time"]) > 0.01:
                cursor.execute("EXPLAIN (ANALYZE, BUFFERS) " + query["sql"])
                print("", query["sql"], *(row[0] for row in cursor.fetchall()), "", sep="\n    ")


if __name__ == "__main__":
    main()
