"""The example of the home page: whatever it shows, this very site answers."""

from __future__ import annotations

import html
import json
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from tecken import services
from tecken.storage.models import SymbolFile
from tecken.symbolication import services as symbolication_services
from tecken.upload.models import Upload
from tecken.web.pages import tour
from tests.web.api.people import person

SAMPLES = Path(__file__).parents[2] / "data" / "samples"
SAMPLE = next(SAMPLES.glob("libcrash-cpp.so/*/*.sym"))
OTHER_ID = "AAAABBBBCCCCDDDDEEEEFFFF000011112"
HTML = {"accept": "text/html"}
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_site(tmp_path: Path, settings: Settings, clear_redis_store: None) -> Iterator[None]:
    settings.STORAGE_URL = tmp_path.as_uri()
    settings.SYMBOL_SOURCES = []
    services.discard_all()
    yield
    services.discard_all()


def store(debug_file: str, debug_id: str, *records: str) -> None:
    text = "\n".join([f"MODULE Linux x86_64 {debug_id} {debug_file}", *records, ""])
    symbolication_services.importer().import_file(lambda: iter([text.encode()]))


def upload(user: User, debug_file: str, debug_id: str = OTHER_ID, **fields: Any) -> None:
    made = Upload.objects.create(user=user, filename="a.zip", bucket_name="b", completed_at=timezone.now())
    row = {"key": f"v1/{debug_file}", "completed_at": timezone.now(), **fields}
    SymbolFile.objects.create(
        upload=made, bucket_name="b", debug_file=debug_file, debug_id=debug_id, size=1, **row
    )


def home(client: Client) -> str:
    return client.get("/", headers=HTML).content.decode()


def answer(client: Client) -> dict[str, Any]:
    """Send what the page shows as a shell would, and return the frame of the response."""
    [command] = re.findall(r'<pre id="curl"[^>]*><code>(.*?)</code>', home(client), re.DOTALL)
    _curl, url, _option, body = shlex.split(html.unescape(command))
    assert url == "http://testserver/symbolicate/v5"
    reply = client.post("/symbolicate/v5", body, content_type="application/json")
    frame: dict[str, Any] = json.loads(reply.content)["results"][0]["stacks"][0][0]
    return frame


def test_example_sample_stored_is_the_sample(client: Client) -> None:
    symbolication_services.importer().import_file(lambda: iter([SAMPLE.read_bytes()]))
    client.cookies[tour.COOKIE] = tour.HIDDEN
    assert answer(client)["function"] == "crash_cpp_price"
    assert f"libcrash-cpp.so {SAMPLE.parent.name} +0x195d" in home(client)


def test_example_without_symbols_is_upload_command(client: Client) -> None:
    page = home(client)
    assert "libcrash-cpp.so" not in page
    assert "curl --fail http://testserver/upload/" in page
    assert "to see an example from your own symbols" in page


@pytest.mark.parametrize("debug_file", ["app.pdb", 'it\'s "odd" & <b>.so'])
def test_example_own_module_is_shown_and_answers(client: Client, debug_file: str) -> None:
    user = person("me@example.com", "upload.upload_symbols")
    store(debug_file, OTHER_ID, "FUNC 1000 10 0 main")
    upload(user, debug_file)
    upload(user, "never-converted.so")
    client.force_login(user)
    assert answer(client)["function"] == "main"


def test_example_module_of_others_is_not_shown(client: Client) -> None:
    """Its id is enough to download its symbols."""
    store("secret.pdb", OTHER_ID, "FUNC 1000 10 0 main")
    upload(person("other@example.com"), "secret.pdb")
    assert "secret.pdb" not in home(client)
    client.force_login(person("me@example.com", "upload.upload_symbols"))
    assert "secret.pdb" not in home(client)
    client.force_login(person("auditor@example.com", "upload.view_all_uploads"))
    assert answer(client)["function"] == "main"


def test_example_module_without_symbols_is_skipped(client: Client) -> None:
    user = person("me@example.com")
    store("full.so", OTHER_ID, "PUBLIC 2000 0 start")
    store("empty.so", OTHER_ID, "STACK CFI INIT 1000 10 .cfa: $rsp 8 +")
    upload(user, "full.so")
    upload(user, "empty.so")
    client.force_login(user)
    assert answer(client)["function"] == "start"


def test_example_database_down_shows_none(client: Client) -> None:
    client.force_login(person("me@example.com"))

    def refuse(execute: Any, sql: str, *more: Any) -> Any:
        if "upload_" in sql:
            raise OperationalError("gone")
        return execute(sql, *more)

    with connection.execute_wrapper(refuse):
        page = home(client)
    assert "curl --fail http://testserver/upload/" in page
