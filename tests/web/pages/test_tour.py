"""The guided tour: each step is a result of this site, and degrades alone."""

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
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.upload.models import Upload
from tecken.web.pages.tour import COOKIE, MISSING, MODULES, SAMPLE, STACK, STORED
from tests.support.options import Override

DATA = Path(__file__).parents[2] / "data"
SAMPLES = DATA / "samples"
HTML = {"accept": "text/html"}
NOWHERE = "redis://127.0.0.1:1/0"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sample_site(
    tmp_path: Path, settings: Settings, clear_redis_store: None, runtime_options: Override
) -> Iterator[None]:
    settings.STORAGE_URL = tmp_path.as_uri()
    settings.SYMBOL_SOURCES = []
    settings.HEALTH_CHECK_SECONDS = 30.0
    runtime_options(symbolicate_deadline_seconds=0)
    services.discard_all()
    for path in SAMPLES.glob("*/*/*.sym"):
        symbolication_services.importer().import_file(lambda path=path: iter([path.read_bytes()]))  # type: ignore[misc]
    store_services.page_store().put_missing(MISSING, Missing("absent", "no source has it"), 60)
    yield
    services.discard_all()


def tour(client: Client, path: str = "/") -> str:
    reply = client.get(path, headers=HTML)
    assert reply.status_code == 200
    page = reply.content.decode()
    assert "A crash, from addresses to functions" in page
    return page


def test_sample_is_the_one_of_make_run() -> None:
    [job] = json.loads((SAMPLES / "stack.json").read_text())["jobs"]
    assert job["memoryMap"] == [[module.debug_file, module.debug_id] for module in MODULES]
    assert job["stacks"] == [[list(frame) for frame in STACK]]


def test_tour_is_first_page_with_the_sample(client: Client) -> None:
    page = tour(client)
    assert len(page) < 50_000
    assert page.count("<section><h2>") == 5
    assert page.count('<pre id="') == 5


def test_tour_shows_functions_and_inlined_calls_above_their_caller(client: Client) -> None:
    page = tour(client)
    functions = re.findall(r'class="function">(.*?)</bdi>', page)
    assert functions[:2] == ["crash::abort", "__rustc::rust_begin_unwind"]
    assert functions[-1] == "main"
    assert "8 of 12 frames have a function" in page
    inlined = page.count('class="inlined"')
    assert f"merged {inlined} more calls" in page


def test_tour_crash_can_be_symbolicated(client: Client) -> None:
    text = re.search(r'<textarea name="text" hidden>(.*?)</textarea>', tour(client))
    assert text
    reply = client.post("/symbolicate/", {"text": html.unescape(text[1])})
    assert reply.status_code == 200
    assert "rust_begin_unwind" in reply.content.decode()


def test_tour_commands_name_files_of_the_checkout(client: Client) -> None:
    commands = re.findall(r'<pre id="\w+" tabindex="0"><code>(.*?)</code>', tour(client), re.DOTALL)
    words = [word for command in commands for word in shlex.split(html.unescape(command))]
    files = [word.rpartition("@")[2] for word in words if "tests/data" in word]
    assert len(files) == 3
    assert [file for file in files if not Path(file.split()[-1]).exists()] == []


def test_tour_shows_symbols_behind_the_functions(client: Client) -> None:
    page = tour(client)
    assert all(module.debug_id in page for module in STORED)
    assert "<code>make run</code> stored these files" in page


def test_tour_names_upload_of_the_sample(client: Client) -> None:
    user = User.objects.create_user("me")
    upload = Upload.objects.create(user=user, filename="a.zip", bucket_name="b", completed_at=timezone.now())
    row = {"key": "v1/x", "completed_at": timezone.now(), "bucket_name": "b", "size": 1}
    SymbolFile.objects.create(upload=upload, debug_file=SAMPLE.debug_file, debug_id=SAMPLE.debug_id, **row)
    assert f'<a href="/uploads/{upload.pk}/">upload {upload.pk}</a>' in tour(client)


def test_tour_explains_the_missing_module(client: Client) -> None:
    page = tour(client)
    assert "<strong>No source has its symbols.</strong>" in page
    assert f'href="/explain/{MISSING.debug_file}/{MISSING.debug_id}/"' in page


def test_tour_refreshes_the_store_alone(client: Client) -> None:
    page = tour(client)
    [tag] = re.findall(r'<li id="store"[^>]*>', page)
    assert 'hx-get="/tour/" hx-select="#store"' in tag
    assert "There is no curve yet." in page


def test_tour_hidden_shows_home_with_a_link_to_it(client: Client) -> None:
    reply = client.post("/tour/")
    assert (reply.status_code, reply["Location"]) == (302, "/")
    assert reply.cookies[COOKIE]["httponly"]
    home = client.get("/", headers=HTML).content.decode()
    assert "From addresses to functions" in home
    assert '<a href="/tour/">Guided tour</a>' in home
    tour(client, "/tour/")


def test_tour_logged_in_shows_home(client: Client) -> None:
    client.force_login(User.objects.create_user("me"))
    assert "<h1>Hello, " in client.get("/", headers=HTML).content.decode()
    tour(client, "/tour/")


def test_tour_in_production_is_absent(client: Client, settings: Settings) -> None:
    settings.ENVIRONMENT = "production"
    assert "/tour/" not in client.get("/", headers=HTML).content.decode()
    assert client.get("/tour/", headers=HTML).status_code == 404


def test_tour_without_sample_is_absent(client: Client, settings: Settings, tmp_path: Path) -> None:
    settings.STORAGE_URL = (tmp_path / "other").as_uri()
    store_services.store_client().flushdb()
    services.discard_all()
    assert "/tour/" not in client.get("/", headers=HTML).content.decode()
    reply = client.get("/tour/", headers=HTML)
    assert reply.status_code == 404
    assert "make run" in reply.content.decode()


def test_home_for_programs_is_unchanged(client: Client) -> None:
    assert client.get("/").content == b"Tecken: POST stacks to /symbolicate/v5\n"


@pytest.mark.parametrize(
    ("alias", "says"),
    [
        ("default", "There is no curve yet."),
        ("store", "redis-store does not answer. Pages come from their files"),
    ],
)
def test_tour_redis_down_shows_rest(client: Client, settings: Any, alias: str, says: str) -> None:
    settings.CACHES = {**settings.CACHES, alias: {**settings.CACHES[alias], "LOCATION": NOWHERE}}
    if alias == "default":
        settings.REDIS_QUEUE_URL = settings.REDIS_COUNTERS_URL = NOWHERE
    services.discard_all()
    page = tour(client)
    assert says in page
    assert "8 of 12 frames have a function" in page
    assert page.count("<section><h2>") == 5


def test_tour_database_down_shows_rest(client: Client) -> None:
    def refuse(*_: object) -> Any:
        raise OperationalError("gone")

    with connection.execute_wrapper(refuse):
        page = tour(client)
    assert "8 of 12 frames have a function" in page
    assert "<code>make run</code> stored these files" in page
