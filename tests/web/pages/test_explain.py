"""Why a module is missing, told from a real worker's look, and looking again."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from tecken import wiring
from tecken.download.models import MissingSymbol
from tecken.errors import Absent, CouldNotAsk, Refused
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles
from tecken.storage.backends.uploaded_files import gzipped
from tecken.storage.port import symbol_file
from tecken.storage.search import SourceResult
from tecken.store.memory import MemoryPageStore
from tecken.symbolication.conversion.status import Ready
from tecken.symbols.ids import ModuleKey
from tests.support.options import Override
from tests.support.redis_server import free_port
from tests.symbolication.conversion.memory import StoreIsAway
from tests.symbolication.samples import sym
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of
from tests.web.conftest import logged_in

XUL = ModuleKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
PAGE = f"/explain/{XUL}/"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def sent(
    tmp_path: Path, settings: Settings, clear_redis_store: None, monkeypatch: pytest.MonkeyPatch
) -> Iterator[list[list[str]]]:
    """What was put into the queue; one upstream, a directory."""
    (tmp_path / "upstream").mkdir()
    settings.STORAGE_URL = f"file://{tmp_path}/storage"
    settings.SYMBOL_SOURCES = [f"file://{tmp_path}/upstream"]
    wiring.forget()
    tasks: list[list[str]] = []
    monkeypatch.setattr(wiring, "send_all", lambda jobs: tasks.extend(job.arguments for job in jobs))
    yield tasks
    wiring.forget()


@pytest.fixture
def builder(client: Client) -> User:
    return logged_in(client, "build@example.com", "upload.upload_symbols")


def work() -> None:
    """A worker takes the job."""
    wiring.worker().work(XUL)


def give(tmp_path: Path, text: bytes) -> None:
    """To the upstream."""
    path = tmp_path / "upstream" / str(symbol_file(XUL))
    path.parent.mkdir(parents=True)
    path.write_bytes(text)


def shown(client: Client, path: str = PAGE) -> str:
    reply = client.get(path)
    assert reply.status_code == 200, reply.content
    return reply.content.decode()


def test_a_module_that_nobody_asked_for(client: Client) -> None:
    page = shown(client)
    assert "There was no request for it lately." in page
    assert "Not asked lately" in page
    assert "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym" in page
    assert "Log in</a> to have it looked for again." in page
    assert "Look again" not in page


def test_a_module_that_nobody_has(client: Client, builder: User, tmp_path: Path) -> None:
    work()
    page = shown(client)
    assert "No place has its symbols." in page
    assert f"{tmp_path}/upstream" in page
    assert page.count("Not there") == 3  # both of ours now, and the upstream then
    assert "Absent: " in page
    assert re.search(r"<td>(10 min|9 min \d+ s) more</td>", page)


def test_addresses_of_storages_are_not_for_everybody(client: Client, tmp_path: Path) -> None:
    work()
    page = shown(client)
    assert "No place has its symbols." in page
    assert "<bdi>Absent</bdi>" in page
    assert str(tmp_path) not in page


def test_a_module_that_an_upstream_had(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(XUL))
    work()
    page = shown(client)
    assert "Its symbols are here." in page
    assert "3 symbols in " in page
    assert "until other symbols are uploaded" in page
    assert "until memory is needed" in page
    assert '<span class="yes"><bdi>There</bdi></span>' in page


def test_a_symbol_file_that_cannot_be_read(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(ModuleKey("xul.pdb", "F" * 33)))
    work()
    page = shown(client)
    assert "Its symbol file cannot be used." in page
    assert "of another build" in page


def test_a_file_of_ours_that_nobody_has_asked_for_yet(client: Client) -> None:
    wiring.own_files().put(symbol_file(XUL), [b"gzip"])
    page = shown(client)
    assert "It is converted at the first request." in page
    assert "There, 4 B" in page


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (None, "No place had its symbols, the last time."),
        (sym(XUL), "A place had its symbols, the last time."),
    ],
)
def test_what_is_remembered_of_the_last_time_only(
    client: Client, tmp_path: Path, text: bytes | None, verdict: str
) -> None:
    if text:
        give(tmp_path, text)
    work()
    wiring.removed(XUL)
    assert verdict in shown(client)


def test_explain_upstream_that_refuses_shows_the_reason(client: Client, tmp_path: Path) -> None:
    name = f"file://{tmp_path}/upstream"
    wiring.journal().note(XUL, [SourceResult(name, Refused(f"{name}: refused: 403 Forbidden"), 0.1)])
    assert '<span class="no"><bdi>Refused: 403 Forbidden</bdi></span>' in shown(client)


def test_explain_module_of_try_builds_names_how_to_ask_for_it(client: Client) -> None:
    wiring.try_files().put(symbol_file(XUL), gzipped([sym(XUL)]))
    work()
    page = shown(client)
    assert "Only try builds have its symbols." in page
    assert "Nobody has its symbols." not in page


def test_an_upstream_that_is_switched_off(client: Client, runtime_options: Override) -> None:
    runtime_options(sources_off=("upstream",))
    assert "Switched off by an operator" in shown(client)


def test_look_again_and_the_answer_that_comes(
    client: Client, builder: User, tmp_path: Path, sent: list[list[str]]
) -> None:
    work()
    wiring.board().forget(XUL)
    give(tmp_path, sym(XUL))
    assert "No place has its symbols." in shown(client)
    for _ in range(2):
        reply = client.post(PAGE)
        assert (reply.status_code, reply["Location"]) == (302, PAGE)
    assert sent == [list(XUL)]
    page = shown(client)
    assert "None has started yet." in page
    assert f'hx-get="{PAGE}"' in page
    work()
    page = shown(client)
    assert "Its symbols are here." in page
    assert "hx-get" not in page


def test_a_worker_is_looking(client: Client) -> None:
    with wiring.turns().take(XUL):
        assert "A worker is looking for it now." in shown(client)


@pytest.mark.parametrize(
    ("permission", "status"),
    [
        ("upload.upload_try_symbols", 302),
        ("upload.view_all_uploads", 302),
        ("runtimeconfig.change_option", 302),
        ("runtimeconfig.view_option", 403),
    ],
)
def test_who_may_look_again(client: Client, permission: str, status: int, sent: list[list[str]]) -> None:
    logged_in(client, "somebody@example.com", permission)
    assert client.post(PAGE).status_code == status
    assert len(sent) == (status == 302)
    assert ("Look again" in shown(client)) == (status == 302)


def test_nobody_may_not(client: Client, sent: list[list[str]]) -> None:
    assert client.post(PAGE).status_code == 403
    assert sent == []


def test_a_forged_form_does_nothing(builder: User, sent: list[list[str]]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(builder)
    assert client.post(PAGE).status_code == 403
    assert sent == []


def test_who_uploaded_it(client: Client, builder: User) -> None:
    mine = upload_of(builder)
    file_of(mine)
    file_of(upload_of(person("other@example.com")))
    page = shown(client)
    assert "build@example.com" in page.partition("Who uploaded it")[2]
    assert f'href="/uploads/{mine.pk}/"' in page
    assert "other@example.com" not in page
    assert "5C2E3F4A1000" in page
    nobody = shown(Client())
    assert "example.com" not in nobody.partition("<main")[2]
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    assert "other@example.com" in shown(client)


def test_explain_absence_that_a_place_contradicts_is_told(client: Client) -> None:
    """The banner said "Nobody has its symbols." above a table in which they were."""
    work()
    wiring.own_files().put(symbol_file(XUL), [b"gzip"])
    page = shown(client)
    assert "Its symbol file is here, and its absence is still remembered." in page
    assert "There, 4 B" in page
    assert "No place has" not in page


def test_explain_symbols_whose_file_is_gone_are_told(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(XUL))
    work()
    (tmp_path / "upstream" / str(symbol_file(XUL))).unlink()
    wiring.journal().note(XUL, [SourceResult(f"file://{tmp_path}/upstream", Absent("it is not there"), 0.1)])
    page = shown(client)
    assert "Its symbols are here." in page
    assert "No place has its symbol file any more." in page


GUID = XUL.debug_id[:32]
OTHER = "C" * 32 + "1"


@pytest.fixture
def builds() -> None:
    """Another age, two files of another build, and a build of tries, which stays apart."""
    for number, (debug_id, of_try) in enumerate(
        ((f"{GUID}1", False), (OTHER, False), (OTHER, False), ("D" * 33, True))
    ):
        key = f"v1/xul.pdb/{debug_id}/xul{number}.sym"
        file_of(None, key=key, debug_id=debug_id, try_symbols=of_try)


@pytest.mark.usefixtures("builds")
def test_explain_wrong_age_names_the_right_one(client: Client) -> None:
    page = shown(client)
    assert f'<a href="/explain/xul.pdb/{GUID}1/">' in page
    assert "Other builds of <bdi>xul.pdb</bdi> are here." in page
    assert OTHER not in page


@pytest.mark.usefixtures("builds")
def test_explain_names_other_builds_to_uploaders(client: Client, builder: User) -> None:
    page = shown(client)
    assert page.count(f'<a href="/explain/xul.pdb/{OTHER}/">') == 1
    assert "D" * 33 not in page


@pytest.mark.usefixtures("builds")
def test_explain_without_an_id_names_builds(client: Client, builder: User) -> None:
    reply = client.get("/explain/", {"file": "xul.pdb"})
    assert reply.status_code == 400
    for debug_id in (f"{GUID}1", OTHER):
        assert f'<a href="/explain/xul.pdb/{debug_id}/">' in reply.content.decode()


@pytest.mark.usefixtures("builds")
def test_explain_of_another_file_has_no_near_miss(client: Client, builder: User) -> None:
    assert "Near misses" not in shown(client, f"/explain/nss.pdb/{XUL.debug_id}/")


def test_how_often_it_was_asked_for(client: Client) -> None:
    for number in (1, 2):
        MissingSymbol.objects.create(
            digest=str(number),
            debug_file=XUL.debug_file,
            debug_id=XUL.debug_id,
            count=number * 1000,
            symbolications=number * 100,
            last_seen="2026-01-31T12:00:00Z",
        )
    assert "3,000 requests, 300 of them for stacks, last" in shown(client)


def test_few_queries(
    client: Client, builder: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(5):
        file_of(upload_of(person(f"{number}@example.com")))
    with django_assert_max_num_queries(10):
        shown(client)


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"file": "xul.pdb", "id": XUL.debug_id.lower()}, XUL),
        ({"file": " xul.pdb ", "id": "{44E4EC8C-2F41-492B-9369-D6B9A059577C}2"}, XUL),
        ({"file": f"{XUL}"}, XUL),
        ({"file": f"xul.pdb {XUL.debug_id}"}, XUL),
        ({"file": f"https://symbols.example/try/{symbol_file(XUL)}"}, XUL),
        ({"file": f"v1/a%20b.so/{XUL.debug_id}/a%20b.so.sym"}, ModuleKey("a b.so", XUL.debug_id)),
    ],
)
def test_finding_a_module(client: Client, query: dict[str, str], found: ModuleKey) -> None:
    reply = client.get("/explain/", query)
    assert reply.status_code == 302, reply.content
    assert reply["Location"] == f"/explain/{str(found).replace(' ', '%20')}/"
    assert client.get(reply["Location"]).status_code == 200


def test_finding_a_module_by_its_code_id(client: Client) -> None:
    file_of(None)
    reply = client.get("/explain/", {"code_file": "xul.dll", "code_id": "5c2e3f4a1000"})
    assert reply["Location"] == PAGE
    reply = client.get("/explain/", {"code_file": "nss.dll", "code_id": "5c2e3f4a1000"})
    assert reply.status_code == 404
    assert "no upload has code file nss.dll" in reply.content.decode()


@pytest.mark.parametrize(
    "query",
    [
        {"file": "xul.pdb"},
        {"file": "<script>alert(1)</script>", "id": "xyz"},
        {"id": XUL.debug_id},
        {"file": "a\0b", "id": XUL.debug_id},
        {"code_file": "xul.dll"},
        {"file": "//evil.example/", "id": XUL.debug_id},
    ],
)
def test_what_names_no_module(client: Client, query: dict[str, str]) -> None:
    reply = client.get("/explain/", query)
    assert reply.status_code == 400
    page = reply.content.decode()
    assert 'role="alert"' in page
    assert "<script>alert" not in page


def test_the_form(client: Client) -> None:
    page = shown(client, "/explain/")
    assert "Why is this module missing?" in page
    assert 'href="/missing/"' in page


def test_a_name_that_is_hostile(client: Client) -> None:
    page = shown(client, f"/explain/%3Cimg%20src=x%20onerror=alert(1)%3E\u202egnp.exe/{XUL.debug_id}/")
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202egnp.exe" in page


def test_an_id_that_is_none(client: Client) -> None:
    reply = client.get("/explain/xul.pdb/xyz/")
    assert reply.status_code == 400
    assert "debug id must be" in reply.content.decode()


def test_without_redis_store(client: Client, builder: User, monkeypatch: pytest.MonkeyPatch) -> None:
    work()
    wiring.board().forget(XUL)
    monkeypatch.setattr(wiring.explainer(), "_store", StoreIsAway())
    page = shown(client)
    assert "<strong>redis-store</strong> does not answer" in page
    assert "Not there" in page
    assert "It cannot be told now." in page


def test_without_redis_cache(
    client: Client, settings: Settings, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = f"redis://127.0.0.1:{free_port()}"
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": refused}}
    wiring.forget()
    monkeypatch.setattr(wiring, "page_store", lambda: MemoryPageStore(1000))
    page = shown(client)
    assert "<strong>redis-cache</strong> does not answer" in page
    assert "It cannot be told now." in page


def test_without_storage(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    work()
    wiring.board().forget(XUL)
    page_files, files = MemoryPageFiles(), MemoryFiles("bucket.example")
    page_files.away = files.away = CouldNotAsk("bucket.example is away")
    monkeypatch.setattr(wiring.explainer(), "_page_files", page_files)
    monkeypatch.setattr(wiring.search(), "regular", files)
    page = shown(client)
    assert "<strong>storage</strong> does not answer" in page
    assert "Could not be asked" in page
    assert "No place had its symbols, the last time." in page
    assert "No place has its symbols." not in page
    assert "bucket.example" not in page


def test_without_the_database(client: Client) -> None:
    def refuse(*_query: object) -> None:
        raise OperationalError("the server has gone away")

    with connection.execute_wrapper(refuse):
        page = shown(client)
        reply = client.get("/missing/")
    assert "<strong>The database</strong> does not answer" in page
    assert "There was no request for it lately." in page
    assert reply.status_code == 503
    assert "The database does not answer" in reply.content.decode()


def test_a_worker_that_answered_without_a_store(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wiring.explainer(), "_store", StoreIsAway())
    work()
    assert wiring.board().look([XUL]) != [Ready()]
    assert "No place has its symbols." in shown(client)


@pytest.mark.parametrize("path", [PAGE, "/explain/?file=xul.pdb"])
def test_no_more_often_than_the_api(client: Client, runtime_options: Override, path: str) -> None:
    runtime_options(limit_api=("1 requests/hour per address",))
    assert client.get(path).status_code in (200, 400)
    assert client.get(path).status_code == 429
