"""/api/uploads/files/ and /api/syminfo/."""

from __future__ import annotations

import pytest
from django.test import Client

from tests.api.people import key_of, person
from tests.api.rows import file_of, upload_of

pytestmark = pytest.mark.django_db
DEBUG_ID = "44E4EC8C2F41492B9369D6B9A059577C2"


def listed(client: Client, auth: str, /, **query: str | int) -> list[int]:
    reply = client.get("/api/uploads/files/", query, headers={"Auth-Token": auth})
    assert reply.status_code == 200, reply.content
    return [row["id"] for row in reply.json()["files"]]


def test_own_files_and_everybodys(client: Client) -> None:
    builder = person("build@example.com", "upload.upload_symbols")
    mine = file_of(upload_of(builder))
    other = file_of(upload_of(person("other@example.com")))
    nobodys = file_of(None)
    assert listed(client, key_of(builder)) == [mine.pk]
    auditor = key_of(person("audit@example.com", "upload.view_all_uploads"))
    assert listed(client, auditor) == [nobodys.pk, other.pk, mine.pk]


def test_filters_and_sorts(client: Client) -> None:
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


def test_one_file_with_its_upload(client: Client) -> None:
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
def test_syminfo_by_either_name(client: Client, name: str) -> None:
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


def test_syminfo_of_nothing(client: Client) -> None:
    file_of(None, completed_at=None)
    path = f"/api/syminfo/xul.pdb/{DEBUG_ID}"
    reply = client.get(path)
    assert (reply.status_code, reply.json()) == (404, {"error": "Code file / id Not Found", "path": path})
    assert reply["Access-Control-Allow-Origin"] == "*"
