"""Modules of an upload that were missing before it: found, counted, and watched for their next use."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.utils import timezone

from tecken.download import missing
from tecken.download.models import MissingSymbol
from tecken.storage import services as storage_services
from tecken.storage.miss_counts import Miss, Requester, miss_field
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.tasks import write_misses
from tecken.upload import resolved
from tecken.upload.models import Upload
from tecken.upload.resolved import count_modules, load_report, note_resolved
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, spec
from tests.upload.zips import zipped
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

CRASH = Miss(SYM_KEY.debug_file, SYM_KEY.debug_id)
STACK = {"memoryMap": [[*SYM_KEY[:2]]], "stacks": [[[0, 0x1160]]]}
NOTHING = {"modules": 0, "requests": 0, "symbolications": 0, "debuginfod": 0, "symsrv": 0}
BUILD_ID = "6cb9adda1edf8f912fb09f7f2655e6f0deadbeef"


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def missed(miss: Miss, count: int = 1, requester: Requester = Requester.DOWNLOAD) -> None:
    missing.add([(miss_field(miss, requester), count)])


def send(who: Uploader) -> Any:
    file = SimpleUploadedFile("symbols.zip", zipped({str(SYM_KEY): SYM}))
    reply = who.client.post("/upload/", {"symbols.zip": file})
    assert reply.status_code == 201, reply.content
    return reply.json()["upload"]["resolved"]


def test_upload_of_missing_module_reports_its_requests_by_kind(builder: Uploader) -> None:
    missed(CRASH, 3, Requester.SYMBOLICATION)
    missed(CRASH, 2)
    missed(Miss("other.so", "1" * 33), 50)
    assert send(builder) == {**NOTHING, "modules": 1, "requests": 5, "symbolications": 3}
    assert Upload.objects.get().resolved_modules == 1


def test_upload_of_module_that_nobody_requested_reports_nothing(builder: Uploader) -> None:
    assert send(builder) == NOTHING
    assert load_report(Upload.objects.get()).modules == []


def test_requests_that_are_counted_after_the_upload_are_found_by_the_next_write(builder: Uploader) -> None:
    storage_services.miss_counts().count([CRASH], Requester.SYMBOLICATION)
    assert send(builder) == NOTHING
    write_misses()
    assert load_report(Upload.objects.get()).modules[0].symbolications == 1


def test_write_of_counts_leaves_old_uploads(builder: Uploader) -> None:
    send(builder)
    Upload.objects.update(completed_at=timezone.now() - timedelta(hours=1))
    storage_services.miss_counts().count([CRASH])
    write_misses()
    assert load_report(Upload.objects.get()).modules == []


def test_direct_and_sym_upload_report_as_well(builder: Uploader, uploader: Makes) -> None:
    missed(CRASH, 4)
    made = builder.announce({SYM_KEY: SYM})
    builder.put(made["files"][0]["action"]["url"], SYM)
    assert builder.complete(made["id"]).json()["upload"]["resolved"]["requests"] == 4
    assert spec(str(SYM_KEY), SYM)["size"] == len(SYM)


def test_sym_upload_reports_as_well(builder: Uploader) -> None:
    missed(CRASH, 4)
    file = SimpleUploadedFile("crash-c.sym", SYM)
    fields = {"debug_file": SYM_KEY.debug_file, "debug_identifier": SYM_KEY.debug_id, "symbol_file": file}
    assert builder.client.post("/upload/sym_upload", fields).status_code == 200
    assert Upload.objects.get().resolved_modules == 1


def test_try_upload_resolves_nothing(uploader: Makes) -> None:
    missed(CRASH, 4)
    assert send(uploader("upload_try_symbols")) == NOTHING


def test_second_upload_of_the_module_resolves_nothing(builder: Uploader) -> None:
    """Its requests were resolved by the first one, whose file was there since."""
    missed(CRASH, 4)
    send(builder)
    later = upload_of(builder.user)
    file_of(later, key="v1/x", debug_file=CRASH.debug_file, debug_id=CRASH.debug_id)
    note_resolved(later)
    assert later.resolved_modules == 0
    MissingSymbol.objects.update(last_seen=timezone.now() + timedelta(hours=1))
    note_resolved(later)
    assert later.resolved_modules == 1, "it was requested and missing since"


def test_replacing_file_resolves_nothing(builder: Uploader) -> None:
    missed(CRASH, 4)
    upload = upload_of(builder.user)
    file_of(upload, debug_file=CRASH.debug_file, debug_id=CRASH.debug_id, update=True)
    note_resolved(upload)
    assert upload.resolved == []


def test_numbers_that_were_found_never_become_smaller(builder: Uploader) -> None:
    missed(CRASH, 4)
    send(builder)
    MissingSymbol.objects.all().delete()
    upload = Upload.objects.get()
    note_resolved(upload)
    assert load_report(upload).modules[0].requests == 4


@pytest.mark.parametrize(
    ("miss", "is_found"),
    [
        (Miss("", "", "", BUILD_ID.upper()), True),
        (Miss("", "", "", BUILD_ID), True),
        (Miss("libx.so", BUILD_ID.upper()), True),
        (Miss("", "", "app.exe", "5F3A1000"), True),
        (Miss("", "", "other.exe", "5F3A1000"), False),
        (Miss("app.pdb", "0" * 33), False),
    ],
)
def test_requests_by_other_ids_belong_to_the_module(builder: Uploader, miss: Miss, is_found: bool) -> None:
    missed(miss)
    upload = upload_of(builder.user)
    file_of(upload, code_file="app.exe", code_id="5F3A1000", build_id=BUILD_ID)
    file_of(upload, key="v1/zero", debug_file="app.pdb", debug_id="0" * 33, code_id="", code_file="")
    note_resolved(upload)
    assert upload.resolved_modules == is_found


def test_files_of_one_module_count_once(builder: Uploader) -> None:
    missed(Miss("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2"), 2)
    missed(Miss("", "", "xul.dll", "5C2E3F4A1000"), 3, Requester.SYMSRV)
    upload = upload_of(builder.user)
    file_of(upload)
    native = "44E4EC8C2F41492B9369D6B9A059577C2"
    file_of(upload, key="v1/dll", debug_file="xul.dll", debug_id="5C2E3F4A1000", native_id=native)
    note_resolved(upload)
    [module] = load_report(upload).modules
    assert (count_modules(upload), module.requests, module.symsrv) == (1, 5, 3)


def test_most_requested_modules_are_kept(builder: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resolved, "MAX_MODULES", 2)
    monkeypatch.setattr(resolved, "BATCH", 1)
    upload = upload_of(builder.user)
    for number in range(3):
        some_id = f"{number + 1}" * 33
        missed(Miss("a.so", some_id), number + 1)
        file_of(upload, key=f"v1/{number}", debug_id=some_id)
    note_resolved(upload)
    assert [module.requests for module in load_report(upload).modules] == [3, 2]


def test_symbolication_after_the_upload_is_a_use(builder: Uploader) -> None:
    missed(CRASH)
    send(builder)
    assert load_report(Upload.objects.get()).used_count == 0
    symbolication_services.converter().convert(ObjectId(*SYM_KEY[:2]))
    client = Client()
    answer = client.post("/symbolicate/v5", STACK, content_type="application/json").json()
    assert answer["results"][0]["found_modules"] == {f"{SYM_KEY.debug_file}/{SYM_KEY.debug_id}": True}
    report = load_report(Upload.objects.get())
    assert report.used_count == 1
    assert report.last_use(report.modules[0]) is not None


def test_download_after_the_upload_is_a_use_and_head_is_not(builder: Uploader) -> None:
    missed(CRASH)
    send(builder)
    client = Client()
    assert client.head(f"/{SYM_KEY}").status_code == 200
    assert load_report(Upload.objects.get()).used_count == 0
    assert b"".join(client.get(f"/{SYM_KEY}"))
    assert load_report(Upload.objects.get()).used_count == 1


def test_api_has_report(builder: Uploader) -> None:
    missed(CRASH, 3, Requester.SYMBOLICATION)
    send(builder)
    upload = Upload.objects.get()
    found = builder.client.get(f"/api/uploads/upload/{upload.pk}").json()["resolved"]
    assert found == {
        **{**NOTHING, "modules": 1, "requests": 3, "symbolications": 3, "used": 0},
        "most_requested": [
            {
                **dict.fromkeys(("debuginfod", "symsrv"), 0),
                "debug_file": CRASH.debug_file,
                "debug_id": CRASH.debug_id,
                "requests": 3,
                "symbolications": 3,
                "last_used_at": None,
            }
        ],
    }
    listed = builder.client.get("/api/uploads/").json()["uploads"]
    assert [row["resolved_modules"] for row in listed] == [1]


def test_page_shows_report(client: Client, builder: Uploader) -> None:
    missed(CRASH, 1, Requester.SYMBOLICATION)
    send(builder)
    client.force_login(builder.user)
    number = Upload.objects.get().pk
    page = client.get(f"/uploads/{number}/").content.decode()
    assert "<b>1 of 1 module</b> was missing before, in 1 request (1 for symbolication)." in page
    assert "It was not used since." in page
    assert "1 missing before" in client.get("/uploads/").content.decode()
    storage_services.former_misses().note([CRASH.debug_id])
    assert "It was symbolicated or downloaded since." in client.get(f"/uploads/{number}/").content.decode()


def test_page_of_other_upload_says_that_nothing_was_missing(client: Client) -> None:
    user = person("a@example.com", "upload.upload_symbols")
    client.force_login(user)
    upload = upload_of(user)
    file_of(upload)
    page = client.get(f"/uploads/{upload.pk}/").content.decode()
    assert "1 module; none of them was missing before." in page
    empty = client.get(f"/uploads/{upload_of(user, skipped_keys=['v1/a/AB/a.sym']).pk}/").content.decode()
    assert "It has stored no new file." in empty
