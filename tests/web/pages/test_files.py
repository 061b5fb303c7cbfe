"""The files of uploads."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tecken.web import lists
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of
from tests.web.conftest import logged_in

pytestmark = pytest.mark.django_db


@pytest.fixture
def builder(client: Client) -> User:
    return logged_in(client, "build@example.com", "upload.upload_symbols")


def shown(client: Client, query: str = "", status: int = 200) -> str:
    reply = client.get(f"/files/{query}")
    assert reply.status_code == status, reply.content
    return reply.content.decode()


def test_files_shows_own_files(client: Client, builder: User) -> None:
    upload = upload_of(builder)
    file = file_of(upload)
    file_of(upload_of(person("other@example.com")), name="theirs")
    page = shown(client)
    assert f'href="/xul.pdb/{file.debug_id}/xul.sym"' in page
    assert f'href="/explain/xul.pdb/{file.debug_id}/"' in page
    assert f'href="/uploads/{upload.pk}/"' in page
    assert "theirs" not in page


def test_files_of_all_for_auditor(client: Client) -> None:
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    file_of(upload_of(person("other@example.com")), name="theirs")
    file_of(None, name="orphan", try_symbols=True, key="try/v1/orphan.pdb/AB/orphan.sym")
    page = shown(client)
    assert "theirs.pdb" in page
    assert 'href="/try/orphan.pdb/AB/orphan.sym"' in page


def test_files_filters_select_rows(client: Client, builder: User) -> None:
    upload = upload_of(builder)
    for name, size in (("small", 10), ("large", 20_000_000)):
        file_of(upload, name=name, size=size)
    page = shown(client, "?size=%3E%3D10MB")
    assert "large.pdb" in page
    assert "small.pdb" not in page
    assert "<details open>" in page
    assert "small.pdb/" not in shown(client, "?debug_file=large.pdb")
    assert "No file matches these filters." in shown(client, "?debug_file=none.pdb")
    assert "2 files" in shown(client, f"?upload={upload.pk}")


def test_files_and_uploads_show_format_kind_and_ids(client: Client, builder: User) -> None:
    upload = upload_of(builder)
    file_of(upload, name="xul")
    native: dict[str, Any] = {
        "kind": "debug",
        "format": "elf",
        "arch": "<aarch64>",
        "build_id": "fb66b3a04d8a",
    }
    file_of(upload, name="ceph", **native)
    for page in (shown(client), client.get(f"/uploads/{upload.pk}/").content.decode()):
        assert "<bdi>elf</bdi>, debug" in page
        assert "&lt;aarch64&gt;" in page
        assert 'build id <bdi class="id">fb66b3a04d8a</bdi>' in page
        assert 'code id <bdi class="id">5C2E3F4A1000</bdi> of <bdi>xul.dll</bdi>' in page
    found = shown(client, "?build_id=FB66")
    assert "ceph.pdb" in found
    assert "xul.sym" not in found
    assert "<details open>" in found


@pytest.mark.parametrize("query", ["?upload=x", "?size=big", "?key=%00", "?after=x"])
def test_files_invalid_filter_is_400(client: Client, builder: User, query: str) -> None:
    assert 'class="note error"' in shown(client, query, 400)


def test_files_has_pages_at_any_depth(
    client: Client,
    builder: User,
    monkeypatch: pytest.MonkeyPatch,
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    monkeypatch.setattr("tecken.web.lists.DEEPEST_PAGE", 2)
    upload = upload_of(builder)
    for number in range(3 * lists.PAGE_ROWS + 1):
        file_of(upload, name=f"m{number}")
    query, seen = "", set[str]()
    for _ in range(4):
        with django_assert_max_num_queries(10):
            page = shown(client, query)
        assert len(page) < 150_000
        seen |= {f"m{n}" for n in range(3 * lists.PAGE_ROWS + 1) if f'href="/m{n}.pdb/' in page}
        query = page.partition(' rel="next"')[0].rpartition('href="')[2].rstrip('"').replace("&amp;", "&")
    assert len(seen) == 3 * lists.PAGE_ROWS + 1


def test_files_escapes_names(client: Client, builder: User) -> None:
    file_of(upload_of(builder), name="<img src=x>\u202e", generator="<script>alert(1)</script>")
    page = shown(client)
    assert "&lt;img src=x&gt;\\u202e" in page
    assert "<img src=x" not in page
    assert "<script>alert" not in page


def test_files_without_permission_is_forbidden(client: Client) -> None:
    client.force_login(person("nobody@example.com"))
    assert "This needs the permission" in shown(client, status=403)


@pytest.mark.parametrize(
    "some_id",
    [
        "fb66",
        "FB66B3A04D8A",
        "44e4ec8c2f41492b9369d6b9a059577c2",
        "5c2e3f4a1000",
        "{44E4EC8C-2F41-492B-9369-D6B9A059577C}2",
    ],
)
def test_files_are_found_by_any_id(client: Client, builder: User, some_id: str) -> None:
    file_of(upload_of(builder), name="ceph", build_id="fb66b3a04d8a")
    file_of(upload_of(builder), name="other", debug_id="1" * 33, code_id="2" * 12)
    page = shown(client, f"?any_id={some_id}")
    assert "ceph.sym" in page
    assert "other.sym" not in page


def test_files_by_an_id_that_is_none_is_400(client: Client, builder: User) -> None:
    assert "hex digits" in shown(client, "?any_id=xyz", 400)
