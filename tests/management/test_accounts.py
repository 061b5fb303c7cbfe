"""`accounts import` of the tables of Mozilla's Tecken, as CSV files and in PostgreSQL."""

from __future__ import annotations

import gzip
import io
from pathlib import Path

import psycopg
import pytest
from django.contrib.auth.models import Group, User
from django.core.management.base import CommandError
from django.test import Client

from tecken.accounts.models import Token
from tecken.accounts.tokens import effective_permissions, find
from tecken.storage.models import SymbolFile
from tecken.upload.models import Upload
from tests.management.conftest import Manage
from tests.management.test_import_tree import EMAIL, IDS, fill, sym
from tests.support import mozilla_tables
from tests.support.mozilla_tables import EXPIRED_KEY, KEY, TRY_KEY

pytestmark = pytest.mark.django_db
BUILD, ROOT = "build@example.com", "root@example.com"


@pytest.fixture
def tables(tmp_path: Path) -> Path:
    return mozilla_tables.write_csv(tmp_path / "tables")


def test_import_creates_users_groups_and_tokens(manage: Manage, tables: Path) -> None:
    stderr = io.StringIO()
    assert manage("accounts", "import", str(tables), stderr=stderr).splitlines() == [
        "groups created: 1",
        "permissions granted to owners of tokens: 1",
        "superusers left out: 1",
        "tokens created: 2",
        "tokens left out: 3",
        "users created: 3",
        "users left out: 1",
    ]
    assert stderr.getvalue().splitlines() == [
        "root@example.com: superuser there, and an ordinary user here",
        "user 4: no email address",
        "token 3: it has expired",
        "token 4: its key has another form",
        "token 5: it has both permissions to upload, and a token can have one here",
    ]
    assert [*User.objects.get(email=BUILD).groups.values_list("name", flat=True)] == ["Uploaders"]
    friends = Group.objects.get(name="Symbol Friends")
    assert [*friends.permissions.values_list("codename", flat=True)] == ["view_all_uploads"]
    root = User.objects.get(email=ROOT)
    assert (root.is_superuser, root.is_staff, root.has_usable_password()) == (False, False, False)
    assert not User.objects.get(email="gone@example.com").is_active


def test_imported_token_uploads_and_is_stored_as_a_digest(
    manage: Manage, tables: Path, client: Client
) -> None:
    output = manage("accounts", "import", str(tables))
    token = find(f"{KEY}-comment")
    assert (token.user.email, token.notes, token.hint) == (BUILD, "release builds", KEY[:8])
    assert effective_permissions(token) == {"upload.upload_symbols"}
    assert effective_permissions(find(TRY_KEY)) == {"upload.upload_try_symbols"}
    assert token.created_at < token.expires_at
    assert KEY not in output
    assert not Token.objects.filter(digest=KEY).exists()
    archive = io.BytesIO(b"no archive")
    archive.name = "x.zip"
    reply = client.post("/upload/", {"x.zip": archive}, headers={"Auth-Token": KEY})
    assert reply.status_code == 400
    archive.seek(0)
    reply = client.post("/upload/", {"x.zip": archive}, headers={"Auth-Token": EXPIRED_KEY})
    assert reply.status_code == 403


def test_second_import_changes_nothing(manage: Manage, tables: Path) -> None:
    manage("accounts", "import", str(tables))
    before = list(Token.objects.order_by("pk").values())
    lines = manage("accounts", "import", str(tables)).splitlines()
    assert {"tokens already there: 2", "users already there: 3"} <= set(lines)
    assert not [line for line in lines if "created" in line]
    assert list(Token.objects.order_by("pk").values()) == before


def test_dry_run_counts_and_changes_nothing(manage: Manage, tables: Path) -> None:
    lines = manage("accounts", "import", str(tables), "--dry-run").splitlines()
    assert "tokens created: 2" in lines
    assert not User.objects.exists()
    assert not Token.objects.exists()


def test_uploads_get_their_imported_files(manage: Manage, tables: Path, tmp_path: Path) -> None:
    User.objects.create_user(EMAIL, EMAIL)
    files = {
        f"v1/a.so/{IDS[0]}/a.so.sym": gzip.compress(sym("a.so", IDS[0])),
        f"try/v1/c.so/{IDS[2]}/c.so.sym": gzip.compress(sym("c.so", IDS[2])),
        f"v1/d.so/{IDS[3]}/d.so.sym": gzip.compress(sym("d.so", IDS[3])),
    }
    source = fill(tmp_path / "bucket", files, mozilla_tables.now_minus(5))
    manage("symbols", "import", str(source), "--layout", "tecken", "--user", EMAIL)
    lines = manage("accounts", "import", str(tables), "--uploads").splitlines()
    assert lines[-1] == ("uploads: 2 created, 0 already there, 2 left out; 2 files have their own upload")
    rows = SymbolFile.objects.order_by("debug_file")
    assert [(row.upload.user.email, row.upload.filename) for row in rows if row.upload] == [
        (BUILD, "target.zip"),
        (ROOT, "try.zip"),
        (EMAIL, rows[2].upload.filename if rows[2].upload else ""),
    ]
    upload = Upload.objects.get(filename="target.zip")
    assert (upload.note, upload.members_total, upload.size) == ("upload 11 of the former site", 1, 1000)
    assert abs((upload.created_at - rows[0].created_at).total_seconds()) < 60
    assert (
        manage("accounts", "import", str(tables), "--uploads")
        .splitlines()[-1]
        .startswith("uploads: 0 created, 2 already there")
    )
    line = manage("symbols", "import", str(source), "--layout", "tecken", "--user", EMAIL).splitlines()[-1]
    assert line.startswith("0 stored, 3 already there")


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("/nowhere", "no such directory"),
        ("mysql://u:secret@host/x", "expected postgres://"),
        ("postgres://u:secret@127.0.0.1:1/x?connect_timeout=1", "the database cannot be read"),
    ],
)
def test_source_that_cannot_be_read_is_refused(manage: Manage, source: str, reason: str) -> None:
    with pytest.raises(CommandError, match=reason) as caught:
        manage("accounts", "import", source)
    assert "secret" not in str(caught.value)


def test_directory_without_a_table_or_column_is_refused(manage: Manage, tables: Path) -> None:
    (tables / "tokens_token.csv").write_text("id,user_id\n1,1\n")
    with pytest.raises(CommandError, match="a table has no column 'expires_at'"):
        manage("accounts", "import", str(tables))
    (tables / "auth_user.csv").unlink()
    with pytest.raises(CommandError, match=r"auth_user.csv cannot be read"):
        manage("accounts", "import", str(tables))
    assert not User.objects.exists()


def test_database_gives_the_same_accounts_as_its_csv_files(
    manage: Manage, tables: Path, mozilla_database: str
) -> None:
    expected = manage("accounts", "import", str(tables), "--dry-run")
    assert manage("accounts", "import", mozilla_database, "--dry-run") == expected
    assert "2 created" in manage("accounts", "import", mozilla_database, "--uploads")
    assert find(KEY).user.email == BUILD


def test_database_of_another_program_is_refused(manage: Manage, mozilla_database: str) -> None:
    with psycopg.connect(mozilla_database, autocommit=True) as connection:
        connection.execute("CREATE DATABASE other")
    with pytest.raises(CommandError, match="has no table django_content_type: is it that of Tecken"):
        manage("accounts", "import", f"{mozilla_database.rpartition('/')[0]}/other")
