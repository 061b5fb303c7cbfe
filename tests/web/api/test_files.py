"""/api/uploads/files/ and /api/syminfo/."""

from __future__ import annotations

import re
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from tecken.storage.models import SymbolFile
from tecken.web.identifiers import find_modules
from tests.web.api.people import key_of, person
from tests.web.api.rows import file_of, upload_of

pytestmark = pytest.mark.django_db
AUDITOR = "upload.view_all_uploads"
DEBUG_ID = "44E4EC8C2F41492B9369D6B9A059577C2"


def listed(client: Client, auth: str, /, **query: str | int) -> list[int]:
    reply = client.get("/api/uploads/files/", query, headers={"Auth-Token": auth})
    assert reply.status_code == 200, reply.content
    return [row["id"] for row in reply.json()["files"]]


def test_files_of_others_are_for_auditors(client: Client) -> None:
    builder = person("build@example.com", "upload.upload_symbols")
    mine = file_of(upload_of(builder))
    other = file_of(upload_of(person("other@example.com")))
    nobodys = file_of(None)
    assert listed(client, key_of(builder)) == [mine.pk]
    auditor = key_of(person("audit@example.com", "upload.view_all_uploads"))
    assert listed(client, auditor) == [nobodys.pk, other.pk, mine.pk]


def test_files_filters_and_sorts_select_rows(client: Client) -> None:
    key = key_of(person("audit@example.com", "upload.view_all_uploads"))
    upload = upload_of(person("build@example.com"))
    xul = file_of(upload, "xul", size=5000)
    nss = file_of(upload, "nss3", completed_at=None, try_symbols=True)
    assert listed(client, key, key="v1/xul") == [xul.pk]
    assert listed(client, key, debug_file="nss3.pdb", debug_id=DEBUG_ID.lower()) == [nss.pk]
    assert listed(client, key, code_file="xul.dll", code_id="5c2e3f4a1000") == [xul.pk]
    assert listed(client, key, size=">1kb") == [xul.pk]
    assert listed(client, key, completed_at="null") == [nss.pk]
    assert listed(client, key, try_symbols="false", bucket_name="ours") == [xul.pk]
    assert listed(client, key, upload=upload.pk, created_at="today") == [nss.pk, xul.pk]
    assert listed(client, key, sort="size", reverse="true") == [xul.pk, nss.pk]


ELF: dict[str, Any] = {
    "kind": "debug",
    "format": "elf",
    "arch": "x86_64",
    "build_id": "fb66b3a04d8a2f46f6a9b6b1b0d0dfc1cb0ad3c0",
    "compressed": False,
}


@pytest.mark.parametrize("text", [ELF["build_id"], "FB66B3", "fb/66b3a0"])
def test_files_are_found_by_part_of_their_build_id(client: Client, text: str) -> None:
    key = key_of(person("audit@example.com", "upload.view_all_uploads"))
    native = file_of(None, "ceph-osd", **ELF)
    file_of(None)
    assert listed(client, key, build_id=text) == [native.pk]


def test_files_and_uploads_show_format_kind_and_ids(client: Client) -> None:
    builder = person("build@example.com", "upload.upload_symbols")
    upload = upload_of(builder)
    file = file_of(upload, "ceph-osd", **ELF)
    headers = {"Auth-Token": key_of(builder)}
    expected = {name: ELF[name] for name in ("kind", "format", "arch", "build_id")}
    expected |= {"debug_id": file.debug_id, "code_id": file.code_id, "code_file": "ceph-osd.dll"}
    [row] = client.get(f"/api/uploads/upload/{upload.pk}", headers=headers).json()["file_uploads"]
    details = client.get(f"/api/uploads/files/file/{file.pk}", headers=headers).json()
    assert {name: row[name] for name in expected} == expected
    assert {name: details[name] for name in expected} == expected


def test_file_details_have_upload(client: Client) -> None:
    builder = person("build@example.com", "upload.upload_try_symbols")
    upload = upload_of(builder)
    file = file_of(upload, "libx 1", try_symbols=True)
    headers = {"Auth-Token": key_of(builder)}
    shown = client.get(f"/api/uploads/files/file/{file.pk}", headers=headers).json()
    assert shown["url"] == f"/try/libx%201.pdb/{DEBUG_ID}/libx%201.sym"
    assert (shown["upload_id"], shown["upload"]["user"]) == (upload.pk, "build@example.com")
    assert (shown["generator"], shown["code_id"]) == ("dump_syms 2.3.4", "5C2E3F4A1000")
    foreign = file_of(upload_of(person("other@example.com")))
    reply = client.get(f"/api/uploads/files/file/{foreign.pk}", headers=headers)
    assert (reply.status_code, reply.json()["error"]) == (404, "File not found")


@pytest.mark.parametrize(
    "name",
    [f"xul.pdb/{DEBUG_ID}", f"xul.pdb/{DEBUG_ID.lower()}", "xul.dll/5C2E3F4A1000", "xul.dll/5c2e3f4a1000"],
)
def test_syminfo_by_debug_or_code_id_is_found(client: Client, name: str) -> None:
    file_of(None, generator="of a try build", try_symbols=True)
    file_of(None)
    file_of(None, key=f"v1/xul.pdb/{DEBUG_ID}/xul.pd_", generator="")
    reply = client.get(f"/api/syminfo/{name}")
    assert reply.status_code == 200
    assert reply.json() == {
        "debug_file": "xul.pdb",
        "debug_id": DEBUG_ID,
        "code_file": "xul.dll",
        "code_id": "5C2E3F4A1000",
        "generator": "dump_syms 2.3.4",
        "url": f"http://testserver/xul.pdb/{DEBUG_ID}/xul.sym",
    }
    assert reply["Access-Control-Allow-Origin"] == "*"


def test_syminfo_unknown_is_not_found(client: Client) -> None:
    file_of(None, completed_at=None)
    path = f"/api/syminfo/xul.pdb/{DEBUG_ID}"
    reply = client.get(path)
    assert (reply.status_code, reply.json()) == (404, {"error": "Code file / id Not Found", "path": path})
    assert reply["Access-Control-Allow-Origin"] == "*"


@pytest.mark.parametrize(
    ("stored", "path"),
    [
        (
            ("libz.so.1", "DABBB96C91EDF95812FB09F7F2655E6F0"),
            "libz.so.1/6cb9bbdaed9158f912fb09f7f2655e6f2d5ea5a2",
        ),
        (("XUL", "7A1B2C3D4E5F60718293A4B5C6D7E8F90"), "XUL/7A1B2C3D-4E5F-6071-8293-A4B5C6D7E8F9"),
        (("libd.so", "6216C672A8D33EC9CF4A1BAB8B29D00E0"), "libd.so/6216c672a8d33ec9cf4a1bab8b29d00e"),
        (("Xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2"), "xul.pdb/44e4ec8c2f41492b9369d6b9a059577c2"),
    ],
)
def test_syminfo_build_id_uuid_or_other_spelling_is_found(
    client: Client, stored: tuple[str, str], path: str
) -> None:
    assert client.get(f"/api/syminfo/{path}").status_code == 404
    name, debug_id = stored
    SymbolFile.objects.create(
        key=f"v1/{name}/{debug_id}/x.sym", debug_file=name, debug_id=debug_id, completed_at=timezone.now()
    )
    reply = client.get(f"/api/syminfo/{path}").json()
    assert (reply["debug_file"], reply["debug_id"]) == stored


def test_files_filter_debug_id_without_age_means_age_0(client: Client) -> None:
    auth = key_of(person("audit@example.com", AUDITOR), AUDITOR)
    zero_age = file_of(None, debug_id=f"{DEBUG_ID[:32]}0")
    file_of(None)
    assert listed(client, auth, debug_id=DEBUG_ID[:32].lower()) == [zero_age.pk]


def test_syminfo_zero_id_is_not_found(client: Client) -> None:
    zeros = "0" * 33
    SymbolFile.objects.create(
        key=f"v1/mg.dll/{zeros}/mg.dll.sym", debug_file="mg.dll", debug_id=zeros, completed_at=timezone.now()
    )
    assert client.get(f"/api/syminfo/mg.dll/{zeros}").status_code == 404


@pytest.mark.parametrize(
    "query", [{"any_id": "5C2E3F4A1000"}, {"any_id": ELF["build_id"]}, {"build_id": "fb66"}]
)
def test_files_are_searched_by_id_with_indexes(client: Client, query: dict[str, str]) -> None:
    """A site has millions of rows, so that a plan without an index would take minutes."""
    key = key_of(person("audit@example.com", AUDITOR))
    file_of(None)
    with CaptureQueriesContext(connection) as queries:
        listed(client, key, **query)
    searches = [sql["sql"] for sql in queries if "build_id" in sql["sql"].partition(" WHERE ")[2]]
    assert len(searches) == 2
    for search in searches:
        plan = plan_of(search)
        assert "file_by_build_id" in plan
        assert ("file_by_code_id_alone" in plan) == ("any_id" in query)
        assert not re.search("SCAN upload_fileupload|Seq Scan", plan), plan


@pytest.mark.parametrize("some_id", ["5C2E3F4A1000", ELF["build_id"].upper()])
def test_modules_are_searched_by_id_with_indexes(some_id: str) -> None:
    ids = [f"{number:033X}" for number in range(1000)]
    SymbolFile.objects.bulk_create(
        SymbolFile(key=some, debug_id=some, native_id=some, code_id=some, build_id=some) for some in ids
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")
    with CaptureQueriesContext(connection) as queries:
        find_modules(some_id, shows_short_ids=True)
    plan = plan_of(queries[0]["sql"])
    for index in ("file_by_debug_id_alone", "file_by_native_id"):
        assert index in plan
    assert ("file_by_code_id_alone" in plan) == (some_id == "5C2E3F4A1000")
    assert not re.search("SCAN upload_fileupload|Seq Scan", plan), plan


def plan_of(sql: str) -> str:
    """Return the plan of a query, on PostgreSQL the one for many rows: the indexes of the condition."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute("SET LOCAL enable_seqscan = off; SET LOCAL enable_indexscan = off")
        cursor.execute(f"{'EXPLAIN' if connection.vendor == 'postgresql' else 'EXPLAIN QUERY PLAN'} {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
