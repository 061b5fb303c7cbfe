"""The list of uploads, one upload, and uploading with a form."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import Maintenance, format_maintenance
from tecken.storage.models import SymbolFile
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.tasks import keep_upload
from tecken.upload.models import Upload
from tecken.web import lists
from tests.support.options import Override
from tests.upload.uploaders import SYM, SYM_KEY, Makes
from tests.upload.zips import zipped
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of
from tests.web.conftest import logged_in

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
HOSTILE = "<script>alert(1)</script>\u202egpj.zip"
FROM_US = {"Origin": "http://testserver"}
ARCHIVE = zipped({str(SYM_KEY): SYM})


@pytest.fixture
def builder(client: Client) -> User:
    return logged_in(client, "build@example.com", "upload.upload_symbols")


def shown(client: Client, path: str = "/uploads/", status: int = 200) -> str:
    reply = client.get(path)
    assert reply.status_code == status, reply.content
    return reply.content.decode()


def post(
    client: Client, content: bytes = ARCHIVE, name: str = "symbols.zip", headers: dict[str, str] = FROM_US
) -> Any:
    file = SimpleUploadedFile(name, content, "application/zip")
    return client.post("/uploads/?async=1", {"archive": file}, headers=headers)


def test_uploads_anonymous_redirects_to_login(client: Client) -> None:
    reply = client.get("/uploads/?size=1")
    assert (reply.status_code, reply["Location"].partition("?")[2]) == (302, "next=/uploads/%3Fsize%3D1")


def test_uploads_without_permission_is_forbidden(client: Client) -> None:
    client.force_login(person("nobody@example.com"))
    assert "This needs the permission" in shown(client, "/uploads/", 403)
    assert "This needs the permission" in shown(client, "/uploads/1/", 403)


def test_uploads_shows_and_finds_origin(client: Client, builder: User) -> None:
    upload = upload_of(builder, build="12", branch="main", commit="9ac1ec4a5d0e2d7f", note="a & <b>")
    upload_of(builder, filename="other.zip", build="3")
    page = shown(client, "/uploads/?build=1&branch=ma&commit=9ac1&note=a")
    for text in ("build <bdi>12</bdi>", "<bdi>9ac1ec4a5d0e</bdi>", "<bdi>a &amp; &lt;b&gt;</bdi>"):
        assert text in page
    assert "other.zip" not in page
    page = shown(client, f"/uploads/{upload.pk}/")
    assert "<bdi>9ac1ec4a5d0e2d7f</bdi>" in page
    assert 'href="/uploads/?branch=main"' in page


def test_uploads_shows_own_uploads(client: Client, builder: User) -> None:
    upload_of(builder, filename="mine.zip", members_total=2, members_done=2)
    upload_of(builder, filename="later.zip", completed_at=None, members_total=12, members_done=3)
    upload_of(person("other@example.com"), filename="theirs.zip")
    page = shown(client)
    assert "mine.zip" in page
    assert "3 of 12" in page
    assert "2 uploads" in page
    assert "theirs.zip" not in page
    assert 'name="user"' not in page


def test_uploads_of_all_for_auditor_without_form(client: Client) -> None:
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    upload_of(person("other@example.com"), filename="theirs.zip")
    page = shown(client)
    assert "theirs.zip" in page
    assert "other@example.com" in page
    assert 'type="file"' not in page
    assert "No upload matches these filters." in shown(client, "/uploads/?user=nobody@example.com")
    assert post(client).status_code == 403


def test_uploads_keeps_filters_in_form_and_links(
    client: Client, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(lists.PAGE_ROWS + 1):
        upload_of(builder, filename="nightly.zip", try_symbols=True)
    page = shown(client, "/uploads/?filename=night&try_symbols=true&unknown=1")
    assert 'name="filename" value="night"' in page
    assert '<option value="true" selected>' in page
    assert 'href="?filename=night&amp;try_symbols=true&amp;page=2" rel="next"' in page
    assert 'href="?filename=night&amp;try_symbols=true&amp;sort=size&amp;reverse=true"' in page
    assert shown(client, "/uploads/?filename=night&page=2").count("nightly.zip") == 1


def test_uploads_headings_sort(client: Client, builder: User) -> None:
    for number in (2, 1, 3):
        upload_of(builder, filename=f"{number}.zip", size=number)
    page = shown(client, "/uploads/?sort=size&reverse=false")
    assert page.index("1.zip") < page.index("2.zip") < page.index("3.zip")
    assert (
        '<th scope="col" class="number" aria-sort="ascending"><a href="?sort=size&amp;reverse=true">' in page
    )


@pytest.mark.parametrize(
    ("query", "text"),
    [
        ("size=big", "is not a size"),
        ("created_at=soon", "is not a date"),
        ("try_symbols=perhaps", "try_symbols: Input should be a valid boolean"),
        ("page=0", "page: Input should be greater than or equal to 1"),
        ("after=x", "not the `next` of a page"),
        ("sort=user", "is none of created_at, size"),
        ("filename=%00", "no name contains"),
    ],
)
def test_uploads_invalid_filter_is_400(client: Client, builder: User, query: str, text: str) -> None:
    upload_of(builder)
    page = shown(client, f"/uploads/?{query}", 400)
    assert text in page.replace("&#x27;", "'")
    assert "symbols.zip" not in page


def test_uploads_escapes_names(client: Client, builder: User) -> None:
    upload = upload_of(builder, filename=HOSTILE, error=HOSTILE, completed_at=None, skipped_keys=[HOSTILE])
    file_of(upload, name="<img src=x>\u202e")
    for page in (shown(client), shown(client, f"/uploads/{upload.pk}/")):
        assert "&lt;script&gt;alert(1)&lt;/script&gt;\\u202egpj.zip" in page
        assert "<script>alert" not in page
        assert "<img src=x" not in page
        assert "\u202e" not in page


def test_upload_shows_result_of_each_file(client: Client, builder: User) -> None:
    upload = upload_of(
        builder,
        skipped_keys=["v1/same.pdb/AB1/same.sym"],
        ignored_keys=["firefox-symbols.txt"],
        warnings=[{"key": "v1/odd.pdb/AB2/odd.sym", "message": "no MODULE record: it will not symbolicate"}],
        redirect_urls=["https://example.com/b.zip"],
    )
    file = file_of(upload)
    file_of(upload, name="other", update=True)
    page = shown(client, f"/uploads/{upload.pk}/")
    assert f'href="/xul.pdb/{file.debug_id}/xul.sym"' in page
    assert f'href="/explain/xul.pdb/{file.debug_id}/"' in page
    assert "replaced other content" in page
    assert 'href="/same.pdb/AB1/same.sym"' in page
    for text in (
        "firefox-symbols.txt",
        "no MODULE record",
        "https://example.com/b.zip",
    ):
        assert text in page
    assert "every 15s" in page, "what was missing before may still be counted and used"
    Upload.objects.update(created_at=timezone.now() - timedelta(hours=2))
    assert "hx-trigger" not in shown(client, f"/uploads/{upload.pk}/")


def test_upload_with_warnings_shows_them(client: Client, builder: User) -> None:
    good = upload_of(builder, filename="good.zip")
    warned = upload_of(builder, filename="odd.zip", warnings=[{"key": "v1/a/AB/a.sym", "message": "odd"}])
    page = shown(client)
    assert page.count('<span class="state complete">complete</span>') == 1
    assert page.count('<span class="state complete warned">complete, with warnings</span>') == 1
    assert "with warnings" not in shown(client, f"/uploads/{good.pk}/")
    assert "complete, with warnings" in shown(client, f"/uploads/{warned.pk}/")


def test_upload_page_shows_who_replaced_a_file(client: Client, builder: User) -> None:
    first = upload_of(builder)
    second = upload_of(person("other@example.com"))
    file_of(first, replaced_by=second)
    page = shown(client, f"/uploads/{first.pk}/")
    assert f'replaced by <a href="/uploads/{second.pk}/">upload {second.pk}</a> of' in page
    assert "other@example.com" in page
    assert f"replaced by upload {second.pk}" in shown(client, "/files/")


def test_upload_page_shows_what_conversion_found(
    clear_redis_store: None, client: Client, builder: User
) -> None:
    upload = upload_of(builder)
    file = file_of(upload)
    module = ObjectId.parse(file.debug_file, file.debug_id)
    store_services.page_store().put_missing(module, Missing("malformed", "it has no <FUNC>"), 60)
    assert "cannot be used: it has no &lt;FUNC&gt;" in shown(client, f"/uploads/{upload.pk}/")
    store_services.page_store().forget(module)
    text = f"MODULE a b {file.debug_id} xul.pdb\nFUNC 1000 20 0 f\nFUNC 140001000 20 0 g\n"
    store_services.page_store().put_header(module, header_of([text.encode()]))
    assert "1 left out: FUNC past 4 GiB" in shown(client, f"/uploads/{upload.pk}/")


def header_of(text: list[bytes]) -> bytes:
    with Conversion(lambda: 1 << 20).of(text) as made:
        return made.header.raw


def test_upload_of_other_user_is_not_found(client: Client, builder: User) -> None:
    theirs = upload_of(person("other@example.com"), completed_at=None)
    for asked in (client.get, client.post):
        assert asked(f"/uploads/{theirs.pk}/").status_code == 404
    theirs.refresh_from_db()
    assert theirs.cancelled_at is None


def test_upload_of_many_files_is_small_page(
    client: Client, builder: User, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    upload = upload_of(
        builder, skipped_keys=[f"v1/module-{n}.pdb/{'A' * 33}/module.sym" for n in range(3000)]
    )
    file = file_of(upload)
    file.pk = None
    SymbolFile.objects.bulk_create(
        SymbolFile(upload=upload, bucket_name="ours", key=f"v1/m.pdb/{n:033X}/m.sym") for n in range(500)
    )
    with django_assert_max_num_queries(10):
        page = shown(client, f"/uploads/{upload.pk}/")
    assert len(page) < 150_000
    assert f'href="/files/?upload={upload.pk}">All 501 files' in page


def test_uploads_has_few_queries(
    client: Client, builder: User, django_assert_max_num_queries: Callable[[int], Any]
) -> None:
    for _ in range(20):
        upload_of(builder)
    with django_assert_max_num_queries(10):
        page = shown(client)
    assert len(page) < 150_000


def test_form_without_script_uploads_archive(client: Client, uploader: Makes) -> None:
    client.force_login(uploader().user)
    assert 'action="/uploads/?async=1"' in shown(client)
    reply = post(client, name="nightly.zip")
    upload = Upload.objects.get()
    assert (reply.status_code, reply["Location"]) == (302, f"/uploads/{upload.pk}/")
    assert upload.filename == "nightly.zip"
    page = shown(client, f"/uploads/{upload.pk}/")
    assert "0 of 1 files stored" in page
    assert 'hx-trigger="every 2s"' in page
    keep_upload(upload.pk)
    page = shown(client, f"/uploads/{upload.pk}/")
    assert "complete" in page
    assert SYM_KEY.debug_id in page


@pytest.mark.parametrize(
    ("content", "name", "text"),
    [
        (b"no zip", "a.zip", "File is not a zip file"),
        (ARCHIVE, "a.rar", 'Unrecognized archive file extension ".rar"'),
        (zipped({"/odd": b""}), "a.zip", "Unrecognized file pattern."),
    ],
)
def test_form_refused_shows_error(
    client: Client, uploader: Makes, content: bytes, name: str, text: str
) -> None:
    client.force_login(uploader().user)
    reply = post(client, content, name)
    assert reply.status_code == 400
    page = reply.content.decode().replace("&quot;", '"')
    assert text in page
    assert 'type="file"' in page
    assert "csrftoken" in reply.cookies


def test_form_of_other_site_is_refused_unread(uploader: Makes) -> None:
    careful = Client(enforce_csrf_checks=True)
    careful.force_login(uploader().user)
    for headers in ({}, {"Origin": "https://evil.example"}, {"Sec-Fetch-Site": "cross-site"}):
        assert post(careful, headers=headers).status_code == 403
    assert not Upload.objects.exists()
    assert careful.post("/uploads/?async=1", headers=FROM_US).status_code == 400, "ours needs no token"


def test_form_without_session_is_refused(client: Client) -> None:
    reply = post(client)
    assert reply.status_code == 403
    assert "Your session has ended" in reply.content.decode()


def test_form_storage_down_shows_error(client: Client, uploader: Makes, settings: Settings) -> None:
    client.force_login(uploader().user)
    settings.STORAGE_URL = "file:///dev/null"
    services.discard_all()
    reply = post(client)
    assert (reply.status_code, reply["Retry-After"]) == (503, "5")
    assert "Not uploaded:" in reply.content.decode()
    assert 'class="state failed"' in shown(client)


def test_form_too_large_is_413(client: Client, uploader: Makes, runtime_options: Override) -> None:
    runtime_options(upload_max_bytes=1024)
    client.force_login(uploader().user)
    assert post(client, bytes(200_000)).status_code == 413
    assert 'data-most="1024"' in shown(client)


def test_cancel_stops_upload(client: Client, builder: User) -> None:
    upload = upload_of(builder, completed_at=None)
    path = f"/uploads/{upload.pk}/"
    assert "Cancel the upload" in shown(client, path)
    page = client.post(path, follow=True).content.decode()
    assert "Cancelled. Files that are stored already stay." in page
    assert "Cancel the upload" not in page
    assert "The upload is over" in client.post(path, follow=True).content.decode()


def test_cancel_of_other_user_is_refused(client: Client) -> None:
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    theirs = upload_of(person("other@example.com"), completed_at=None)
    assert "Cancel the upload" not in shown(client, f"/uploads/{theirs.pk}/")
    assert client.post(f"/uploads/{theirs.pk}/").status_code == 403
    theirs.refresh_from_db()
    assert theirs.cancelled_at is None


def test_upload_abandoned_is_not_refreshed(client: Client, builder: User) -> None:
    upload = upload_of(builder, completed_at=None, created_at=timezone.now() - timedelta(hours=2))
    assert "every 5s" not in shown(client)
    assert "every 2s" not in shown(client, f"/uploads/{upload.pk}/")


def test_uploads_closed_has_no_form(client: Client, builder: User) -> None:
    current.backend().set_maintenance("uploads", format_maintenance(Maintenance("The disk is full.")), None)
    current.reset()  # what was read before, for nothing watches a backend in memory
    page = shown(client)
    assert "Uploads are closed for now. The disk is full." in page
    assert 'type="file"' not in page
    reply = post(client)
    assert (reply.status_code, Upload.objects.count()) == (503, 0)
