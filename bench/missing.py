"""Pages of missing symbols, on a PostgreSQL of its own: `python -m bench.missing`; takes a minute."""

from __future__ import annotations

import time

from bench.rig import enter, median, redis_pair, table
from tests.support.postgres import PostgresServer

ROWS = 5_000_000
REQUESTS = 50
FILL = """
INSERT INTO download_missingsymbol (digest, debug_file, debug_id, code_file, code_id, count, last_seen)
SELECT md5(i::text), i || '.pdb', upper(md5(i::text)) || '1', '', '', 1, now() - (i / 500) * interval '1 s'
FROM generate_series(1, %s) i
"""


def main() -> None:
    server = PostgresServer("shared_buffers=512MB").start()
    try:
        with redis_pair(DATABASE_URL=server.url) as environment:
            enter(environment)
            fill()
            rows = [
                [what, f"{measured(place):.1f} ms"]
                for what, place in (("first", 0), ("in the middle", ROWS // 2))
            ]
    finally:
        server.close()
    table((f"page, of {ROWS:,} rows", "median"), rows)


def fill() -> None:
    from django.core.management import call_command  # noqa: PLC0415
    from django.db import connection  # noqa: PLC0415

    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute(FILL, [ROWS])
        cursor.execute("ANALYZE")


def measured(place: int) -> float:
    """Return the milliseconds for the page that begins after so many rows."""
    from django.test import Client  # noqa: PLC0415

    from tecken.download.missing import cursor_of  # noqa: PLC0415
    from tecken.download.models import MissingSymbol  # noqa: PLC0415

    newest = MissingSymbol.objects.order_by("-last_seen", "-id")
    row = newest[place]
    client, times = Client(HTTP_HOST="localhost"), []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        answer = client.get("/missingsymbols/", {"after": cursor_of(row)})
        times.append(time.perf_counter() - began)
        if answer.status_code != 200:
            raise RuntimeError(answer.content)
    return median(times) * 1e3


if __name__ == "__main__":
    main()
