"""Tables of Mozilla's Tecken as CSV files and as SQL, with a user for each case. Written after its models."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

KEY = "0123456789abcdef0123456789abcdef"
TRY_KEY = "fedcba9876543210fedcba9876543210"
EXPIRED_KEY = "00000000000000000000000000000001"
Tables = Mapping[str, tuple[str, list[tuple[object, ...]]]]


def now_minus(days: float) -> datetime:
    return datetime.now(UTC) - timedelta(days=days)


def _at(days: float) -> str:
    """Return a time as PostgreSQL writes it in CSV."""
    return f"{datetime.now(UTC) + timedelta(days=days):%Y-%m-%d %H:%M:%S.%f}+00"


def tables() -> Tables:
    """Return columns and rows of each table."""
    user = (
        "id integer, password text, last_login timestamptz, is_superuser boolean, username text, "
        "first_name text, last_name text, email text, is_staff boolean, is_active boolean, "
        "date_joined timestamptz"
    )
    joined = _at(-400)
    upload = (
        "id integer, filename text, bucket_name text, bucket_endpoint_url text, completed_at timestamptz, "
        "size bigint, content_hash text, download_url text, try_symbols boolean, created_at timestamptz, "
        "user_id integer"
    )
    file = (
        "id integer, bucket_name text, key text, update boolean, compressed boolean, size integer, "
        "completed_at timestamptz, created_at timestamptz, upload_id integer"
    )
    return {
        "auth_user": (
            user,
            [
                (1, "!x", None, False, "build", "", "", "build@example.com", False, True, joined),
                (2, "!x", None, True, "root", "", "", "root@example.com", True, True, joined),
                (3, "!x", None, False, "gone", "", "", "gone@example.com", False, False, joined),
                (4, "!x", None, False, "nomail", "", "", "", False, True, joined),
            ],
        ),
        "auth_group": ("id integer, name text", [(1, "Uploaders"), (2, "Symbol Friends")]),
        "django_content_type": (
            "id integer, app_label text, model text",
            [(7, "upload", "upload"), (8, "tokens", "token"), (9, "auth", "user")],
        ),
        "auth_permission": (
            "id integer, name text, content_type_id integer, codename text",
            [
                (1, "Upload", 7, "upload_symbols"),
                (2, "Try", 7, "upload_try_symbols"),
                (3, "View", 7, "view_all_uploads"),
                (4, "Manage", 8, "manage_tokens"),
                (5, "Change user", 9, "change_user"),
            ],
        ),
        "auth_group_permissions": (
            "id integer, group_id integer, permission_id integer",
            [(1, 1, 1), (2, 1, 2), (3, 1, 4), (4, 2, 3), (5, 2, 5)],
        ),
        "auth_user_groups": ("id integer, user_id integer, group_id integer", [(1, 1, 1), (2, 3, 2)]),
        "auth_user_user_permissions": ("id integer, user_id integer, permission_id integer", []),
        "tokens_token": (
            "id integer, key text, expires_at timestamptz, notes text, user_id integer, "
            "created_at timestamptz",
            [
                (1, KEY, _at(100), "release builds", 1, _at(-200)),
                (2, TRY_KEY, _at(50), "", 2, _at(-20)),
                (3, EXPIRED_KEY, _at(-1), "", 1, _at(-366)),
                (4, "short", _at(100), "", 1, _at(-1)),
                (5, "a" * 32, _at(100), "both", 1, _at(-1)),
            ],
        ),
        "tokens_token_permissions": (
            "id integer, token_id integer, permission_id integer",
            [(1, 1, 1), (2, 2, 2), (3, 3, 1), (4, 4, 1), (5, 5, 1), (6, 5, 2)],
        ),
        "upload_upload": (
            upload,
            [
                (11, "target.zip", "b", None, _at(-9), 1000, "", None, False, _at(-9), 1),
                (12, "try.zip", "b", None, _at(-8), 500, "", None, True, _at(-8), 2),
                (13, "lost.zip", "b", None, None, 500, "", None, False, _at(-8), 1),
                (14, "old.zip", "b", None, _at(-900), 500, "", None, False, _at(-900), 1),
            ],
        ),
        "upload_fileupload": (
            file,
            [
                (1, "b", f"v1/a.so/{1:032X}1/a.so.sym", False, True, 90, _at(-9), _at(-9), 11),
                (2, "b", f"c.so/{3:032X}1/c.so.sym", False, True, 90, _at(-8), _at(-8), 12),
                (3, "b", "v1/none.so/0/none.so.sym", False, True, 90, _at(-8), _at(-8), None),
            ],
        ),
    }


def write_csv(directory: Path) -> Path:
    """Write a file for each table, as `\\copy TABLE to TABLE.csv csv header` does."""
    directory.mkdir()
    for name, (columns, rows) in tables().items():
        with (directory / f"{name}.csv").open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow([column.split()[0] for column in columns.split(", ")])
            writer.writerows([_as_text(value) for value in row] for row in rows)
    return directory


def create(url: str) -> None:
    """Create the tables in a database."""
    with psycopg.connect(url) as connection:
        for name, (columns, rows) in tables().items():
            connection.execute(f"CREATE TABLE {name} ({columns})")
            for row in rows:
                places = ", ".join(["%s"] * len(row))
                connection.execute(f"INSERT INTO {name} VALUES ({places})", row)


def _as_text(value: object) -> object:
    if isinstance(value, bool):
        return "t" if value else "f"
    return "" if value is None else value
