"""Tables of Mozilla's Tecken: of its PostgreSQL database, or of a directory with a CSV file for each table.

PostgreSQL sends a table as CSV, too (COPY), so both have the same rows: texts by the names of the columns.
The database is only read. A table is streamed, whatever its size.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

from tecken.errors import InvalidInput, Unavailable, redact_text

CONNECT_SECONDS: Final = 10
# A column of an upload may list thousands of names.
MAX_FIELD_BYTES: Final = 64 << 20
# PostgreSQL writes `2026-07-10 10:43:10.5+00`; Python needs minutes in an offset.
_SHORT_OFFSET: Final = re.compile(r"([+-]\d\d)$")

Row = dict[str, str]


class MozillaTables:
    """Tables of one site, from a `postgres://` URL or the path of a directory."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._is_database = "://" in source
        if self._is_database and not source.startswith(("postgres://", "postgresql://")):
            raise InvalidInput("expected postgres://user:password@host/name, or a directory with CSV files")
        if not self._is_database and not Path(source).is_dir():
            raise InvalidInput(f"{source}: no such directory")

    @contextmanager
    def read(self, table: str, *, optional: bool = False) -> Iterator[Iterator[Row]]:
        """Open a table. Raises InvalidInput, or Unavailable when the database does not answer.

        An `optional` table may be missing in a directory.
        """
        csv.field_size_limit(MAX_FIELD_BYTES)
        if self._is_database:
            with self._copy(table) as lines:
                yield csv.DictReader(lines, restval="")
            return
        path = Path(self._source) / f"{table}.csv"
        if optional and not path.exists():
            yield iter(())
            return
        try:
            with path.open(newline="", encoding="utf-8") as file:
                yield csv.DictReader(file, restval="")
        except (OSError, UnicodeError, csv.Error) as error:
            raise InvalidInput(f"{path} cannot be read: {error}") from error

    @contextmanager
    def _copy(self, table: str) -> Iterator[Iterator[str]]:
        # In the order of the numbers, so that of two rows for one file the newer one comes last.
        text = "COPY (SELECT * FROM {} ORDER BY id) TO STDOUT (FORMAT csv, HEADER)"
        query = sql.SQL(text).format(sql.Identifier(table))
        try:
            with (
                psycopg.connect(self._source, connect_timeout=CONNECT_SECONDS) as connection,
                connection.cursor() as cursor,
            ):
                connection.read_only = True
                with cursor.copy(query) as copy:
                    yield _lines(bytes(block) for block in copy)
        except psycopg.errors.UndefinedTable as error:
            raise InvalidInput(f"the database has no table {table}: is it that of Tecken?") from error
        except psycopg.Error as error:
            reason = redact_text(str(error).partition("\n")[0])
            raise Unavailable(f"the database cannot be read: {reason}") from error


def _lines(blocks: Iterable[bytes]) -> Iterator[str]:
    """Yield the lines of a text that comes in blocks, each with its end."""
    rest = b""
    for block in blocks:
        *lines, rest = (rest + block).split(b"\n")
        yield from (f"{line.decode()}\n" for line in lines)
    if rest:
        yield rest.decode()


def parse_time(text: str) -> datetime | None:
    """Return a time as PostgreSQL writes it; None for an empty column. Raises InvalidInput."""
    if not text:
        return None
    try:
        parsed = datetime.fromisoformat(_SHORT_OFFSET.sub(r"\1:00", text))
    except ValueError:
        raise InvalidInput(f"{text[:40]!r} is no time") from None
    return parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)


def parse_flag(text: str) -> bool:
    """Return a truth value as PostgreSQL or a spreadsheet writes it."""
    return text.lower() in ("t", "true", "1")
