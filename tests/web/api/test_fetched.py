"""/api/fetched/ and its numbers in /api/stats/."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.storage import services as storage_services
from tecken.storage.models import FetchedModule
from tecken.symbols.ids import ObjectId
from tests.symbolication.samples import page_file, sym
from tests.web.api.people import key_of, person
from tests.web.api.rows import fetched_of

pytestmark = pytest.mark.django_db
AUDITOR, VIEW, CHANGE = "upload.view_all_uploads", "runtimeconfig.view_option", "runtimeconfig.change_option"
BUILD_ID = "6cb9bbdaed9158f912fb09f7f2655e6f2d5ea5a2"
ELF_ID = "DABBB96C91EDF95812FB09F7F2655E6F0"
ELF = {
    "debug_id": ELF_ID,
    "code_file": "libc.so.6",
    "code_id": BUILD_ID.upper(),
    "upstream": "debuginfod+https://d.example.org/",
    "format": "elf",
}


@pytest.fixture
def key() -> str:
    return key_of(person("audit@example.com", AUDITOR))


def listed(client: Client, auth: str, /, **query: str) -> list[int]:
    reply = client.get("/api/fetched/", query, headers={"Auth-Token": auth})
    assert reply.status_code == 200, reply.content
    return [row["id"] for row in reply.json()["fetched"]]


def test_fetched_modules_are_listed_with_totals(client: Client, key: str) -> None:
    one = fetched_of()
    fetched_of("ntdll.pdb", debug_id="B" * 33, stored_size=5)
    fetched_of("libc.so.6", **ELF)
    answer = client.get("/api/fetched/", {"sort": "stored_size"}, headers={"Auth-Token": key}).json()
    assert answer["total"] == 3
    assert answer["upstreams"] == [
        {
            "upstream": "symsrv+https://msdl.example.com/",
            "modules": 2,
            "received": 4_000_000,
            "stored": 300_005,
        },
        {
            "upstream": "debuginfod+https://d.example.org/",
            "modules": 1,
            "received": 2_000_000,
            "stored": 300_000,
        },
    ]
    row = next(row for row in answer["fetched"] if row["id"] == one.pk)
    assert {name: row[name] for name in ("debug_file", "debug_id", "code_file", "code_id")} == {
        "debug_file": "ntdll.pdb",
        "debug_id": "1EB9FACB04C73C5DEA7160764CD333D01",
        "code_file": "ntdll.dll",
        "code_id": "5B6D0C12E1000",
    }
    assert (row["format"], row["received_size"], row["stored_size"]) == ("pdb", 2_000_000, 300_000)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"debug_file": "NTDLL.PDB"}, ["ntdll.pdb"]),
        ({"debug_file": "libc.so.6"}, ["libc.so.6"]),
        ({"debug_file": "LIBC.so.6"}, []),
        ({"any_id": "{1EB9FACB-04C7-3C5D-EA71-60764CD333D0}-1"}, ["ntdll.pdb"]),
        ({"any_id": "5b6d0c12e1000"}, ["ntdll.pdb"]),
        ({"any_id": BUILD_ID}, ["libc.so.6"]),
        ({"any_id": ELF_ID[:-1].lower()}, ["libc.so.6"]),
        ({"any_id": "A" * 33}, []),
        ({"upstream": "debuginfod+https://d.example.org/"}, ["libc.so.6"]),
        ({"format": "pdb"}, ["ntdll.pdb"]),
        ({"stored_size": ">1mb"}, []),
        ({"fetched_at": "today"}, ["ntdll.pdb"]),
    ],
)
def test_filters_select_modules(client: Client, key: str, query: dict[str, str], expected: list[str]) -> None:
    fetched_of()
    fetched_of("libc.so.6", **ELF, fetched_at=timezone.now() - timedelta(days=2))
    names = FetchedModule.objects.filter(pk__in=listed(client, key, **query))
    assert [row.debug_file for row in names] == expected


@pytest.mark.parametrize("query", [{"any_id": "xyz"}, {"fetched_at": "soon"}, {"sort": "upstream"}])
def test_invalid_query_is_400(client: Client, key: str, query: dict[str, str]) -> None:
    assert client.get("/api/fetched/", query, headers={"Auth-Token": key}).status_code == 400


def test_modules_are_searched_with_indexes(client: Client, key: str) -> None:
    with CaptureQueriesContext(connection) as queries:
        listed(client, key, any_id="5B6D0C12E1000")
    searches = [sql["sql"] for sql in queries if "fetchedmodule" in sql["sql"]]
    assert len(searches) == 3
    if connection.vendor == "sqlite":
        for search in searches:
            with connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN QUERY PLAN {search}")
                plan = str(cursor.fetchall())
            assert "fetched_by_code_id" in plan
            assert "SCAN storage_fetchedmodule" not in plan


@pytest.mark.parametrize(
    ("permission", "read", "removed"),
    [
        (AUDITOR, 200, 403),
        (VIEW, 200, 403),
        (CHANGE, 200, 204),
        ("upload.upload_symbols", 403, 403),
        ("tokens.manage_tokens", 403, 403),
    ],
)
def test_fetched_modules_are_for_auditors_and_operators(
    client: Client, storage: None, permission: str, read: int, removed: int
) -> None:
    row = fetched_of()
    headers = {"Auth-Token": key_of(person("someone@example.com", permission))}
    assert client.get("/api/fetched/", headers=headers).status_code == read
    assert client.delete(f"/api/fetched/module/{row.pk}", headers=headers).status_code == removed
    assert FetchedModule.objects.exists() == (removed == 403)


def test_fetched_modules_without_a_token_are_refused(client: Client) -> None:
    assert client.get("/api/fetched/").status_code == 403
    assert client.delete(f"/api/fetched/module/{fetched_of().pk}").status_code == 403


@pytest.fixture
def storage(tmp_path: Path, settings: Settings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    settings.SYMBOL_SOURCES = []
    services.discard_all()


def test_removed_module_has_no_page_file(client: Client, storage: None) -> None:
    row = fetched_of()
    module = ObjectId(row.debug_file, row.debug_id)
    storage_services.page_files().write(module, [page_file(sym(module))])
    headers = {"Auth-Token": key_of(person("op@example.com", CHANGE))}
    assert client.delete(f"/api/fetched/module/{row.pk}", headers=headers).status_code == 204
    assert list(storage_services.page_files().entries()) == []
    reply = client.delete(f"/api/fetched/module/{row.pk}", headers=headers)
    assert (reply.status_code, reply.json()["error"]) == (404, "Module not found")


def test_stats_have_the_totals_for_those_who_may_list_them(client: Client, key: str) -> None:
    fetched_of()
    fetched_of("libc.so.6", **ELF)
    of_auditor = client.get("/api/stats/", headers={"Auth-Token": key}).json()["stats"]
    assert of_auditor["fetched"] == {"count": 2, "total_size": 600_000}
    builder = key_of(person("build@example.com", "upload.upload_symbols"))
    assert client.get("/api/stats/", headers={"Auth-Token": builder}).json()["stats"]["fetched"] is None
