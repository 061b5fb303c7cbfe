"""Records of modules from upstreams, their retention, and what an upload changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from django.conf import settings
from django.contrib.auth.models import Permission, User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import DjangoAssertNumQueries, Settings

from tecken import services
from tecken.accounts import tokens
from tecken.errors import Unavailable
from tecken.runtimeconfig.current import overridden
from tecken.storage import services as storage_services
from tecken.storage.dump import find_engine
from tecken.storage.models import FetchedModule
from tecken.symbolication import fetched
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, page_path, symbol_file
from tecken.symbols.pagefile.file import Header
from tecken.tasks import clean_fetched
from tests.storage.upstreams.natives import DEBUG_INFO, ELF_MODULE, PDB, PDB_MODULE
from tests.support.http_upstream import HttpUpstream, Reply
from tests.symbolication.samples import sym
from tests.upload.natives import BUILD_ID, DATA, ELF_ID, convert, send, send_bytes
from tests.upload.uploaders import Uploader

pytest_plugins = ["tests.support.upstreams"]
pytestmark = pytest.mark.django_db

ELF_FILE = (DATA / "libnative.so").read_bytes()
PDB_FILE = (DATA / "native.pdb").read_bytes()
XUL = ObjectId("XUL.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


@pytest.fixture(autouse=True)
def site(
    tmp_path: Path,
    settings: Settings,
    upstream: HttpUpstream,
    clear_redis_store: None,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[HttpUpstream]:
    """A site with upstreams of three kinds, which are one program here. One of them needs an account."""
    monkeypatch.setattr(storage_services, "find_engine", find_engine)
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    of_account = upstream.url.replace("://", "://name:secret@")
    settings.SYMBOL_SOURCES = [of_account, f"symsrv+{upstream.url}", f"debuginfod+{upstream.url}"]
    services.discard_all()
    upstream.script |= {
        f"/{symbol_file(XUL)}": Reply(body=sym(XUL)),
        PDB: Reply(body=PDB_FILE),
        DEBUG_INFO: Reply(body=ELF_FILE),
    }
    storage_services.build_ids().note([BUILD_ID])
    yield upstream
    for source in storage_services.upstreams():
        source.upstream.close()  # type: ignore[attr-defined]
    services.discard_all()


@pytest.fixture
def builder() -> Uploader:
    user = User.objects.create(username="builder@example.com", email="builder@example.com")
    granted = Permission.objects.get(codename="upload_symbols")
    user.user_permissions.add(granted)
    _, key = tokens.issue(user, [granted], days=1)
    return Uploader(key, Client(headers={"Auth-Token": key}), user)


def has_page_file(module: ObjectId) -> bool:
    return module in dict(storage_services.page_files().entries())


def age(**period: float) -> None:
    FetchedModule.objects.update(fetched_at=timezone.now() - timedelta(**period))


def record_of(module: ObjectId) -> FetchedModule:
    return FetchedModule.objects.get(debug_file=module.name, debug_id=module.debug_id)


@pytest.mark.parametrize(
    ("module", "kind", "expected"),
    [
        (XUL, "breakpad", {"upstream": "{url}", "received_size": len(sym(XUL))}),
        (PDB_MODULE, "pdb", {"upstream": "symsrv+{url}", "received_size": len(PDB_FILE)}),
        (
            ELF_MODULE,
            "elf",
            {"upstream": "debuginfod+{url}", "received_size": len(ELF_FILE), "code_id": BUILD_ID.upper()},
        ),
    ],
)
def test_fetched_module_is_recorded(
    site: HttpUpstream, tmp_path: Path, module: ObjectId, kind: str, expected: dict[str, Any]
) -> None:
    assert isinstance(convert(module), Header)
    row = FetchedModule.objects.get()
    assert (row.debug_file, row.debug_id, row.format) == (module.name, module.debug_id, kind)
    assert {name: getattr(row, name) for name in expected} == {
        name: value.format(url=site.url) if name == "upstream" else value for name, value in expected.items()
    }
    assert row.stored_size == (tmp_path / "storage" / page_path(module)).stat().st_size
    assert timezone.now() - row.fetched_at < timedelta(minutes=5)


def test_module_fetched_again_has_one_record(site: HttpUpstream) -> None:
    convert(XUL)
    age(days=3)
    symbolication_services.remove_derived(XUL)
    convert(XUL)
    assert timezone.now() - record_of(XUL).fetched_at < timedelta(minutes=5)
    assert FetchedModule.objects.count() == 1


def test_uploaded_module_has_no_record(builder: Uploader) -> None:
    send_bytes(builder, symbol_file(XUL), sym(XUL))
    convert(XUL)
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    convert(ELF_MODULE)
    assert has_page_file(XUL)
    assert not FetchedModule.objects.exists()


def test_warm_request_makes_no_query(
    site: HttpUpstream, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    convert(XUL)
    for _ in range(2):
        with django_assert_num_queries(0):
            assert function_in(XUL) == "work0"


def function_in(module: ObjectId) -> str:
    body = orjson.dumps({"memoryMap": [[*module]], "stacks": [[[0, 0x1000]]]})
    reply = Client().post("/symbolicate/v5", body, "application/json").json()
    return str(reply["results"][0]["stacks"][0][0].get("function"))


@pytest.mark.django_db(transaction=True)
def test_database_that_is_down_fails_no_conversion(
    site: HttpUpstream, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(execute: Any, *arguments: Any) -> Any:
        raise OperationalError("could not connect")

    with connection.execute_wrapper(refuse):
        assert isinstance(convert(XUL), Header)
    assert "cannot record that it was fetched: could not connect" in caplog.text
    assert function_in(XUL) == "work0"
    assert not FetchedModule.objects.exists()


# Retention


def test_old_module_is_removed_and_fetched_again(site: HttpUpstream) -> None:
    for module in (XUL, PDB_MODULE):
        convert(module)
    assert function_in(XUL) == "work0"
    FetchedModule.objects.filter(debug_file="xul.pdb").update(fetched_at=timezone.now() - timedelta(days=91))
    size = record_of(XUL).stored_size
    assert fetched.remove_old(timezone.now(), dry_run=True) == (1, size)
    assert has_page_file(XUL)
    assert fetched.remove_old(timezone.now()) == (1, size)
    assert (has_page_file(XUL), has_page_file(PDB_MODULE)) == (False, True)
    assert [row.debug_file for row in FetchedModule.objects.all()] == ["native.pdb"]
    requests = len(site.requests)
    assert isinstance(convert(XUL), Header)
    assert len(site.requests) == requests + 1
    assert fetched.remove_old(timezone.now()) == (0, 0)


def test_retention_follows_its_option(site: HttpUpstream) -> None:
    convert(XUL)
    age(days=2)
    assert fetched.remove_old(timezone.now()).modules == 0
    with overridden(keep_fetched_days=1):
        assert fetched.remove_old(timezone.now()).modules == 1


def test_many_old_modules_are_removed_in_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetched, "BATCH", 2)
    for number in range(5):
        add_record(ObjectId(f"x{number}", "A" * 33))
    age(days=100)
    assert fetched.remove_old(timezone.now()) == (5, 50)
    assert not FetchedModule.objects.exists()


def add_record(module: ObjectId) -> FetchedModule:
    return FetchedModule.objects.create(
        debug_file=module.name, debug_id=module.debug_id, stored_size=10, received_size=20
    )


def test_module_that_was_uploaded_meanwhile_stays(builder: Uploader) -> None:
    send_bytes(builder, symbol_file(XUL), sym(XUL))
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    for module in (XUL, ELF_MODULE):
        convert(module)
        # Such a record is left by a worker that was killed while the file was uploaded.
        add_record(module)
    age(days=100)
    assert fetched.remove_old(timezone.now()).modules == 2
    assert has_page_file(XUL)
    assert has_page_file(ELF_MODULE)
    assert not FetchedModule.objects.exists()


def test_module_that_is_fetched_while_it_is_removed_keeps_its_record(site: HttpUpstream) -> None:
    convert(XUL)
    age(days=100)
    row = record_of(XUL)
    FetchedModule.objects.update(fetched_at=timezone.now())
    fetched.remove(row)
    assert FetchedModule.objects.exists()


def test_storage_that_is_down_keeps_the_record(site: HttpUpstream, monkeypatch: pytest.MonkeyPatch) -> None:
    convert(XUL)
    age(days=100)

    def refuse(_module: ObjectId) -> None:
        raise Unavailable("no storage")

    with monkeypatch.context() as patched:
        patched.setattr(symbolication_services, "remove_derived", refuse)
        with pytest.raises(Unavailable):
            fetched.remove_old(timezone.now())
    assert fetched.remove_old(timezone.now()).modules == 1


def test_beat_sends_the_task() -> None:
    assert settings.CELERY_BEAT_SCHEDULE["remove-old-fetched-symbols"]["task"] == clean_fetched.name
    clean_fetched()


# Uploads of the same module


def test_symbol_file_that_is_uploaded_takes_the_place(builder: Uploader) -> None:
    convert(XUL)
    send_bytes(builder, symbol_file(XUL), sym(XUL, name="ours"))
    assert not FetchedModule.objects.exists()
    convert(XUL)
    assert function_in(XUL) == "ours0"


def test_native_file_that_is_uploaded_takes_the_place(builder: Uploader) -> None:
    by_build_id = ObjectId("libnative.so", BUILD_ID.upper())
    for module in (ELF_MODULE, by_build_id):
        convert(module)
    assert FetchedModule.objects.count() == 2
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    assert not FetchedModule.objects.exists()
    assert not has_page_file(ELF_MODULE)
    assert not has_page_file(by_build_id)
    header = convert(ELF_MODULE)
    assert isinstance(header, Header)
    assert header.metadata.native_id == ELF_ID


def test_file_of_a_try_build_changes_nothing(builder: Uploader) -> None:
    for module in (XUL, ELF_MODULE):
        convert(module)
    granted = Permission.objects.get(codename="upload_try_symbols")
    builder.user.user_permissions.set([granted])
    _, key = tokens.issue(User.objects.get(pk=builder.user.pk), [granted], days=1)
    trier = Uploader(key, Client(headers={"Auth-Token": key}), builder.user)
    send_bytes(trier, symbol_file(XUL), sym(XUL, name="tried"))
    send(trier, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    assert FetchedModule.objects.count() == 2
    assert has_page_file(XUL)
    assert has_page_file(ELF_MODULE)


def test_upload_during_the_conversion_leaves_no_record(
    builder: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    note = fetched.FetchedRecords.note

    def note_late(self: fetched.FetchedRecords, *arguments: Any) -> None:
        send_bytes(builder, symbol_file(XUL), sym(XUL, name="ours"))
        note(self, *arguments)

    monkeypatch.setattr(fetched.FetchedRecords, "note", note_late)
    assert isinstance(convert(XUL), Header)
    assert function_in(XUL) == "ours0"
    assert not FetchedModule.objects.exists()
