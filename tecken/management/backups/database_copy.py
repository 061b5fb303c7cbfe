"""Dump and restore of the database: with PostgreSQL's own programs, or with SQLite's backup interface."""

from __future__ import annotations

import re
import shutil
import sqlite3
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from tempfile import NamedTemporaryFile, TemporaryFile
from typing import Final, NoReturn

from django.conf import settings
from django.db import connection, connections
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder

from tecken.errors import InvalidInput, Malformed, Unavailable
from tecken.storage.backends.blobs import CHUNK_BYTES

SQLITE, POSTGRESQL = "sqlite", "postgresql"
VERSION: Final = re.compile(r"\(PostgreSQL\) (\d+)")
# A migration may hold a lock on a table for minutes; a backup need not wait longer.
LOCK_WAIT: Final = "--lock-wait-timeout=600000"
CONNECT_SECONDS: Final = "10"
LAST_LINES: Final = 5
PROGRAM_SECONDS: Final = 30.0


def engine() -> str:
    """Return the kind of the database."""
    return str(connection.vendor)


def applied_migrations() -> list[str]:
    """Return the migrations that the database has."""
    return sorted(".".join(name) for name in MigrationRecorder(connection).applied_migrations())


def unknown_migrations(names: Iterable[str]) -> list[str]:
    """Return the migrations that this release does not have."""
    migrations = MigrationLoader(None).disk_migrations
    replaced = {pair for migration in migrations.values() for pair in migration.replaces}
    return sorted(set(names) - {".".join(pair) for pair in {*migrations, *replaced}})


def estimate() -> int:
    """Return the bytes of the database, which a dump hardly exceeds."""
    if engine() == SQLITE:
        return _sqlite_path().stat().st_size
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_database_size(current_database())")
        return int(cursor.fetchone()[0])


def has_tables() -> bool:
    """Return whether the database has any table."""
    return bool(connection.introspection.table_names())


def dump() -> Iterator[bytes]:
    """Yield a consistent copy. Writers continue. Raises InvalidInput and Unavailable."""
    return _dump_sqlite() if engine() == SQLITE else _dump_postgresql()


def restore(chunks: Iterable[bytes]) -> None:
    """Replace the database by a copy. Raises InvalidInput and Unavailable.

    After an error SQLite's file is the former one, and a database of PostgreSQL is empty.
    """
    (_restore_sqlite if engine() == SQLITE else _restore_postgresql)(chunks)


def check_programs() -> None:
    """Raise InvalidInput unless the programs that a dump and a restore need are there, and new enough."""
    if engine() == POSTGRESQL:
        for name in ("pg_dump", "pg_restore"):
            _find_program(name)


# SQLite


def _sqlite_path() -> Path:
    return Path(str(connection.settings_dict["NAME"]))


def _dump_sqlite() -> Iterator[bytes]:
    with NamedTemporaryFile(dir=settings.SPOOL_DIR, prefix="backup-") as file:
        with (
            closing(sqlite3.connect(f"{_sqlite_path().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(file.name)) as target,
        ):
            # All pages in one step. Between steps, each write of another process would start it again.
            source.backup(target)
        yield from iter(partial(file.read, CHUNK_BYTES), b"")


def _restore_sqlite(chunks: Iterable[bytes]) -> None:
    path = _sqlite_path()
    path.parent.mkdir(parents=True, exist_ok=True)
    # In the same directory, so that the new file takes the place of the old one in one step.
    with NamedTemporaryFile(dir=path.parent, prefix=f"{path.name}.restore-", delete=False) as file:
        new = Path(file.name)
        try:
            for chunk in chunks:
                file.write(chunk)
            file.flush()
            _check_sqlite(new)
            connections.close_all()
            if path.exists():
                shutil.copymode(path, new)
            # A log of the former file would be applied to the new one.
            for suffix in ("-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)
            new.replace(path)
        finally:
            new.unlink(missing_ok=True)


def _check_sqlite(path: Path) -> None:
    try:
        with closing(sqlite3.connect(path)) as database:
            problems = [row[0] for row in database.execute("PRAGMA quick_check(1)")]
    except sqlite3.DatabaseError as error:
        raise Malformed(f"the copy of the database is damaged: {error}") from error
    if problems != ["ok"]:
        raise Malformed(f"the copy of the database is damaged: {problems[0]}")


# PostgreSQL


def _dump_postgresql() -> Iterator[bytes]:
    words, environment = _arguments()
    options = ["--format=custom", "--no-owner", "--no-privileges", "--no-password", LOCK_WAIT]
    command = [_find_program("pg_dump"), *options, *words]
    with TemporaryFile() as log, _program(command, environment, log, stdout=subprocess.PIPE) as process:
        assert process.stdout
        yield from iter(partial(process.stdout.read, CHUNK_BYTES), b"")
        if process.wait():
            _fail("pg_dump", log)


def _restore_postgresql(chunks: Iterable[bytes]) -> None:
    program = _find_program("pg_restore")
    words, environment = _arguments()
    _drop_tables()
    connections.close_all()
    options = ["--single-transaction", "--exit-on-error", "--no-owner", "--no-privileges", "--no-password"]
    command = [program, *options, *words[:-1], "--dbname", words[-1]]
    with TemporaryFile() as log, _program(command, environment, log, stdin=subprocess.PIPE) as process:
        assert process.stdin
        # The program that has ended has written the reason to its log.
        with suppress(BrokenPipeError):
            for chunk in chunks:
                process.stdin.write(chunk)
        with suppress(BrokenPipeError):
            process.stdin.close()
        if process.wait():
            _fail("pg_restore", log)


def _drop_tables() -> None:
    with connection.cursor() as cursor:
        for name in connection.introspection.table_names(cursor):
            cursor.execute(f"DROP TABLE IF EXISTS {connection.ops.quote_name(name)} CASCADE")


def _arguments() -> tuple[list[str], dict[str, str]]:
    """Return the words that name the server and the database, and variables with the password."""
    command, variables = connection.client.settings_to_cmd_args_env(connection.settings_dict, [])
    return list(command[1:]), {**(variables or {}), "PGCONNECT_TIMEOUT": CONNECT_SECONDS}


def _find_program(name: str) -> str:
    """Return the path of a program of PostgreSQL that can read the server. Raises InvalidInput."""
    path = shutil.which(name)
    if path is None:
        raise InvalidInput(
            f"{name} is missing: install the client programs of PostgreSQL, such as postgresql-client"
        )
    done = subprocess.run(  # noqa: S603 - a program that was found by its name
        [path, "--version"], capture_output=True, text=True, check=False, timeout=PROGRAM_SECONDS
    )
    found = VERSION.search(done.stdout)
    connection.ensure_connection()
    server = connection.pg_version // 10_000  # type: ignore[attr-defined]
    if found is None or int(found[1]) < server:
        version = found[1] if found else "unknown"
        raise InvalidInput(
            f"{name} has version {version}: the server needs the client programs of version {server}"
        )
    return path


@contextmanager
def _program(
    command: list[str], environment: dict[str, str], log: object, **pipes: int
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program, which is ended with the block."""
    with subprocess.Popen(command, env=environment, stderr=log, **pipes) as process:  # type: ignore[call-overload]  # noqa: S603
        try:
            yield process
        finally:
            if process.poll() is None:
                process.terminate()


def _fail(name: str, log: object) -> NoReturn:
    log.seek(0)  # type: ignore[attr-defined]
    lines = log.read().decode(errors="replace").strip().splitlines()[-LAST_LINES:]  # type: ignore[attr-defined]
    raise Unavailable(f"{name} failed: {'; '.join(lines) or 'it printed nothing'}")
