"""Tests of /api/uploads/: own uploads, or those of all users for an auditor."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from tecken.accounts.tokens import find_permissions, issue
from tecken.upload.models import Upload
from tecken.web.lists import DEEPEST_PAGE, MAX_COUNTED, PAGE_ROWS
from tests.web.api.people import key_of, person
from tests.web.api.rows import file_of, upload_of

pytestmark = pytest.mark.django_db
MIB = 1024 * 1024


@pytest.fixture
def builder() -> User:
    return person("build@example.com", "upload.upload_symbols")


@pytest.fixture
def auditor() -> User:
    return person("audit@example.com", "upload.view_all_uploads")


def listed(client: Client, asks: User, /, **query: str | int) -> list[int]:
    return [row["id"] for row in answer(client, asks, **query)["uploads"]]


def answer(client: Client, asks: User, /, **query: str | int) -> Any:
    reply = client.get("/api/uploads/", query, headers={"Auth-Token": key_of(asks)})
    assert reply.status_code == 200, reply.content
    return reply.json()


def refused(client: Client, asks: User, /, **query: str | int) -> str:
    reply = client.get("/api/uploads/", query, headers={"Auth-Token": key_of(asks)})
    assert reply.status_code == 400
    return str(reply.json()["error"])


def test_upload_row_has_all_fields(client: Client, builder: User) -> None:
    upload = upload_of(builder, members_total=3, members_done=3)
    found = answer(client, builder)
    assert found == {
        "uploads": [
            {
                "id": upload.pk,
                "user": "build@example.com",
                "filename": "symbols.zip",
                "size": 1000,
                "bucket_name": "ours",
                "try_symbols": False,
                "protocol": "v1",
                "build": "",
                "branch": "",
                "commit": "",
                "note": "",
                "token_id": None,
                "resolved_modules": 0,
                "members_total": 3,
                "members_done": 3,
                "download_url": "",
                "error": "",
                "created_at": found["uploads"][0]["created_at"],
                "completed_at": found["uploads"][0]["completed_at"],
                "cancelled_at": None,
            }
        ],
        "page": 1,
        "batch_size": PAGE_ROWS,
        "has_next": False,
        "next": None,
        "total": 1,
        "total_is_exact": True,
    }


def test_uploads_of_others_are_for_auditors(client: Client, builder: User, auditor: User) -> None:
    mine, other = upload_of(builder), upload_of(person("other@example.com"))
    assert listed(client, builder) == [mine.pk]
    assert listed(client, auditor) == [other.pk, mine.pk]
    assert listed(client, auditor, user="BUILD@example.com") == [mine.pk]
    assert listed(client, builder, user="other@example.com") == []


def test_uploads_filters_select_rows(client: Client, builder: User) -> None:
    now = timezone.now()
    small = upload_of(
        builder, size=MIB, filename="a.zip", created_at=now - timedelta(days=1), try_symbols=True
    )
    large = upload_of(builder, size=20 * MIB, filename="b.zip", completed_at=None, bucket_name="theirs")
    assert listed(client, builder, size=">=10MB") == [large.pk]
    assert listed(client, builder, size=">1kb,<2mb") == [small.pk]
    assert listed(client, builder, created_at="yesterday") == [small.pk]
    assert listed(client, builder, created_at=">=today") == [large.pk]
    assert listed(client, builder, completed_at="null") == [large.pk]
    assert listed(client, builder, filename="a.") == [small.pk]
    assert listed(client, builder, bucket_name="!ours") == [large.pk]
    assert listed(client, builder, try_symbols="true") == [small.pk]
    assert listed(client, builder, try_symbols="true", size=">10mb") == []


def test_uploads_are_found_by_origin(client: Client, builder: User) -> None:
    token, _key = issue(builder, list(find_permissions(["upload.upload_symbols"])), 1)
    origin = {"build": "nightly-12", "branch": "main", "commit": "9ac1ec4a", "note": "50 % of it"}
    upload = upload_of(builder, token=token, **origin)
    upload_of(builder, build="release-1", branch="esr", commit="0000", note="500")
    for name, text in origin.items():
        assert listed(client, builder, **{name: text}) == [upload.pk]
        assert listed(client, builder, **{name: text[:4]}) == [upload.pk]
        assert listed(client, builder, **{name: text[1:]}) == []
    assert listed(client, builder, token=token.pk) == [upload.pk]
    assert answer(client, builder, token=token.pk)["uploads"][0].items() >= origin.items()
    assert refused(client, builder, token="x").startswith("token: Input should be a valid integer")
    assert refused(client, builder, token=2**70).startswith("token: Input should be less than or equal")


def test_uploads_sort_by_column(client: Client, builder: User) -> None:
    rows = [upload_of(builder, size=size, filename=name).pk for size, name in ((2, "b"), (1, "c"), (3, "a"))]
    b, c, a = rows
    assert listed(client, builder) == [a, c, b], "the latest first"
    assert listed(client, builder, reverse="false") == [b, c, a]
    assert listed(client, builder, sort="size") == [c, b, a]
    assert listed(client, builder, sort="size", reverse="true") == [a, b, c]


@pytest.mark.parametrize("sort", [{}, {"sort": "size"}, {"sort": "size", "reverse": "true"}])
def test_pages_by_number_and_cursor_have_each_row_once(
    client: Client, builder: User, sort: dict[str, str]
) -> None:
    for number in range(2 * PAGE_ROWS + 1):
        upload_of(builder, size=number % 3)
    numbered = [row for page in (1, 2, 3) for row in listed(client, builder, page=page, **sort)]
    placed: list[int] = []
    after: dict[str, str] = {}
    for _ in range(3):
        found = answer(client, builder, **sort, **after)
        placed += [row["id"] for row in found["uploads"]]
        after = {"after": found["next"]}
    assert after == {"after": None}
    assert placed == numbered
    assert len(set(placed)) == 2 * PAGE_ROWS + 1


def test_cursor_with_new_rows_keeps_its_place(client: Client, builder: User) -> None:
    old = [upload_of(builder).pk for _ in range(PAGE_ROWS + 1)]
    after = answer(client, builder)["next"]
    upload_of(builder)
    assert listed(client, builder, after=after) == [old[0]]


def test_uploads_with_invalid_parameters_are_400(client: Client, builder: User) -> None:
    upload_of(builder)
    assert refused(client, builder, size="big").startswith("size: 'big' is not a size")
    assert refused(client, builder, created_at="soon").startswith("created_at: 'soon' is not a date")
    assert refused(client, builder, sort="user") == "sort: 'user' is none of created_at, size"
    assert refused(client, builder, page=0).startswith("page: Input should be greater than or equal to 1")
    assert refused(client, builder, page=DEEPEST_PAGE + 1).startswith(
        "page: Input should be less than or equal"
    )
    assert refused(client, builder, after="x").startswith("after: not the `next`")
    assert refused(client, builder, after="WzEsMiwzLDRd").startswith("after: not the `next`")


def test_total_beyond_bound_is_not_exact(client: Client, auditor: User) -> None:
    Upload.objects.bulk_create(Upload(user=auditor, bucket_name="ours") for _ in range(MAX_COUNTED + 1))
    found = answer(client, auditor)
    assert (found["total"], found["total_is_exact"]) == (MAX_COUNTED, False)


def test_upload_details_have_files(client: Client, builder: User) -> None:
    upload = upload_of(builder, skipped_keys=["v1/a"], ignored_keys=["x.txt"], redirect_urls=["https://a/b"])
    file = file_of(upload)
    shown = client.get(f"/api/uploads/upload/{upload.pk}", headers={"Auth-Token": key_of(builder)}).json()
    assert (shown["skipped_keys"], shown["ignored_keys"]) == (["v1/a"], ["x.txt"])
    assert shown["redirect_urls"] == ["https://a/b"]
    assert [(row["id"], row["key"]) for row in shown["file_uploads"]] == [(file.pk, file.key)]
    assert (shown["files_count"], shown["user"]) == (1, "build@example.com")


def test_upload_of_other_user_is_not_found(client: Client, builder: User, auditor: User) -> None:
    url = f"/api/uploads/upload/{upload_of(person('other@example.com')).pk}"
    reply = client.get(url, headers={"Auth-Token": key_of(builder)})
    assert (reply.status_code, reply.json()) == (404, {"error": "Upload not found", "path": url})
    assert client.get(url, headers={"Auth-Token": key_of(auditor)}).status_code == 200


def test_cancel_stops_upload(client: Client, builder: User, auditor: User) -> None:
    upload = upload_of(builder, completed_at=None)
    url = f"/api/uploads/upload/{upload.pk}/cancel"
    reply = client.post(url, headers={"Auth-Token": key_of(auditor)})
    assert (reply.status_code, reply.json()["error"]) == (403, "Only who began an upload can cancel it")
    reply = client.post(url, headers={"Auth-Token": key_of(builder)})
    assert (reply.status_code, reply.json()["cancelled_at"] is None) == (200, False)
    reply = client.post(url, headers={"Auth-Token": key_of(builder)})
    assert (reply.status_code, reply.json()["error"]) == (400, "The upload is over")
