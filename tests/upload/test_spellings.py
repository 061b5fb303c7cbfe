"""Windows names in other cases: one object for uploads and symbolication, from the request to storage."""

from __future__ import annotations

import io
import time
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.api import views
from tecken.symbolication.conversion import keys
from tecken.symbolication.tasks import convert, prepare
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, page_path, symbol_file
from tests.support.options import Override
from tests.symbolication.samples import sym
from tests.upload.uploaders import Makes, Uploader
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

ID = "44E4EC8C2F41492B9369D6B9A059577C2"
NAMES = ("Foo.pdb", "foo.pdb", "FOO.PDB")
FOO = ObjectId("Foo.pdb", ID)
LOWER = ObjectId("foo.pdb", ID)


@pytest.fixture
def sender(uploader: Makes, settings: Settings, runtime_options: Override) -> Iterator[Uploader]:
    settings.SYMBOL_SOURCES = []
    runtime_options(symbolicate_deadline_seconds=0, process_header_seconds=3600)
    services.discard_all()
    views.frames.cache_clear()
    made = uploader()
    assert symbolication_services.symbol_loader()
    while not redis_services.cache_client().pubsub_numsub(keys.REPLACED)[0][1]:
        time.sleep(0.01)
    yield made
    views.frames.cache_clear()


def upload(sender: Uploader, key: FileKey, content: bytes) -> None:
    file = io.BytesIO(zipped({str(key): content}))
    file.name = "any"
    assert sender.client.post("/upload/", {"symbols.zip": file}).status_code == 201


def symbolicated(name: str) -> tuple[Any, Any]:
    body = orjson.dumps({"memoryMap": [[name, ID]], "stacks": [[[0, 0x1000]]]})
    reply = Client().post("/symbolicate/v5", body, content_type="application/json")
    (result,) = reply.json()["results"]
    return result["found_modules"], result["stacks"][0][0].get("function")


def settles(name: str, function: str) -> bool:
    """Return whether requests are answered with this function; the invalidation takes its time."""
    until = time.monotonic() + 20
    while (found := symbolicated(name)) != ({f"{name}/{ID}": True}, function):
        if time.monotonic() > until:
            pytest.fail(f"{name}: {found}")
        time.sleep(0.02)
    return True


@pytest.mark.parametrize("asked", NAMES)
def test_upload_after_another_spelling_was_missing_answers_it(sender: Uploader, asked: str) -> None:
    prepare(asked, ID)
    assert symbolicated(asked) == ({f"{asked}/{ID}": False}, None)
    upload(sender, symbol_file(FOO), sym(FOO))
    prepare(asked, ID)
    assert all(settles(name, "work0") for name in NAMES)


def test_upload_replacing_another_spelling_leaves_no_stale_pages(sender: Uploader) -> None:
    upload(sender, symbol_file(FOO), sym(FOO, name="first"))
    convert("Foo.pdb", ID)
    assert all(settles(name, "first0") for name in NAMES)
    upload(sender, symbol_file(LOWER), sym(LOWER, name="second"))
    convert("foo.pdb", ID)
    assert all(settles(name, "second0") for name in NAMES)


@pytest.mark.parametrize("last", [FOO, LOWER])
@pytest.mark.parametrize("asked", NAMES)
def test_prepare_of_any_spelling_converts_the_file_stored_last(
    sender: Uploader, last: ObjectId, asked: str
) -> None:
    for module in (FOO, LOWER, last):
        upload(sender, symbol_file(module), sym(module, name="last" if module is last else "former"))
    if last is FOO:  # its first upload was the same file, so it was not stored again
        storage_services.own_files().delete(symbol_file(LOWER))
        symbolication_services.invalidate_module(LOWER)
    prepare(asked, ID)
    assert settles(asked, "last0")


def test_page_file_of_all_spellings_is_one(sender: Uploader) -> None:
    upload(sender, symbol_file(FOO), sym(FOO))
    for name in NAMES:
        prepare(name, ID)
    assert [module for module, _ in storage_services.page_files().entries()] == [FOO]
    assert page_path(FOO) == f"pages/foo.pdb/{ID}"


def test_removed_file_leaves_the_other_spelling_answering(sender: Uploader) -> None:
    upload(sender, symbol_file(FOO), sym(FOO, name="first"))
    upload(sender, symbol_file(LOWER), sym(LOWER, name="second"))
    convert("foo.pdb", ID)
    assert settles("FOO.PDB", "second0")
    storage_services.own_files().delete(symbol_file(LOWER))
    symbolication_services.remove_derived(LOWER)
    convert("foo.pdb", ID)
    assert all(settles(name, "first0") for name in NAMES)
