"""Tests of the pages that explain a module, with a real worker."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.db import OperationalError, connection
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from tecken import services
from tecken.download.models import MissingSymbol
from tecken.errors import (
    AccessDenied,
    Malformed,
    NotAsked,
    NotFound,
    TeckenError,
    Throttled,
    TooLarge,
    Unavailable,
)
from tecken.jobs import sending
from tecken.runtimeconfig.current import options
from tecken.storage import services as storage_services
from tecken.storage.backends.files import gzip_chunks
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles
from tecken.storage.lookup_log import SourceResult
from tecken.storage.models import SymbolFile
from tecken.store import services as store_services
from tecken.store.page_store import MemoryPageStore
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.conversion.status import EarlyFrames, Ready
from tecken.symbolication.explain import Native
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.web.pages.explanation import native_state
from tests.support.options import Override
from tests.support.redis_server import free_port
from tests.symbolication.conversion.memory import StoreIsAway
from tests.symbolication.samples import sym
from tests.web.api.people import person
from tests.web.api.rows import file_of, upload_of
from tests.web.conftest import logged_in

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
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
    services.discard_all()
    tasks: list[list[str]] = []
    monkeypatch.setattr(sending, "send_all", lambda jobs: tasks.extend(job.arguments for job in jobs))
    yield tasks
    services.discard_all()


@pytest.fixture
def builder(client: Client) -> User:
    return logged_in(client, "build@example.com", "upload.upload_symbols")


def work() -> None:
    """A worker takes the job."""
    symbolication_services.worker().work(XUL)


def give(tmp_path: Path, text: bytes) -> None:
    """To the upstream."""
    path = tmp_path / "upstream" / str(symbol_file(XUL))
    path.parent.mkdir(parents=True)
    path.write_bytes(text)


def shown(client: Client, path: str = PAGE) -> str:
    reply = client.get(path)
    assert reply.status_code == 200, reply.content
    return reply.content.decode()


def test_explain_unrequested_module_shows_text(client: Client) -> None:
    page = shown(client)
    assert "It was not requested recently." in page
    assert "Not searched recently" in page
    assert "xul.pdb/44E4EC8C2F41492B9369D6B9A059577C2/xul.sym" in page
    assert "Log in</a> to search for it again." in page
    assert "Look again" not in page


def test_explain_missing_module_shows_sources(client: Client, builder: User, tmp_path: Path) -> None:
    work()
    page = shown(client)
    assert "No source has its symbols." in page
    assert f"{tmp_path}/upstream" in page
    assert page.count("Not there") == 3  # both of ours now, and the upstream then
    assert "Absent: " in page
    assert re.search(r"<td>(10 min|9 min \d+ s) more</td>", page)


def test_explain_hides_storage_addresses_from_public(client: Client, tmp_path: Path) -> None:
    work()
    page = shown(client)
    assert "No source has its symbols." in page
    assert "<bdi>Absent</bdi>" in page
    assert str(tmp_path) not in page


def test_explain_module_of_upstream_shows_it(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(XUL))
    work()
    page = shown(client)
    assert "Its symbols are here." in page
    assert "3 symbols in " in page
    assert f"for {options().keep_fetched_days} days after it was fetched, then fetched again" in page
    assert "until it is evicted" in page
    assert '<span class="yes"><bdi>There</bdi></span>' in page


def test_explain_symbols_show_the_generator_or_engine(client: Client, tmp_path: Path) -> None:
    assert "was written by" not in shown(client)
    head, _, rest = sym(XUL).partition(b"\n")
    give(tmp_path, b"\n".join((head, b"INFO GENERATOR symbolic 13.9.0", rest)))
    work()
    assert "Its symbol file was written by symbolic 13.9.0." in shown(client)


def test_explain_malformed_file_shows_reason(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(ObjectId("xul.pdb", "F" * 33)))
    work()
    page = shown(client)
    assert "Its symbol file cannot be used." in page
    assert "a source: the symbol file that it has sent is of another build" in page
    assert str(tmp_path) not in page


def test_explain_stored_file_awaits_first_request(client: Client) -> None:
    storage_services.own_files().put(symbol_file(XUL), [b"gzip"])
    page = shown(client)
    assert "The first request converts it." in page
    assert "There, 4 B" in page


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        (None, "In the last search no source had its symbols."),
        (sym(XUL), "In the last search a source had its symbols."),
    ],
)
def test_explain_last_search_shows_its_results(
    client: Client, tmp_path: Path, text: bytes | None, verdict: str
) -> None:
    if text:
        give(tmp_path, text)
    work()
    symbolication_services.remove_derived(XUL)
    assert verdict in shown(client)


def test_explain_upstream_that_refuses_shows_the_reason(client: Client, tmp_path: Path) -> None:
    name = f"file://{tmp_path}/upstream"
    storage_services.lookup_log().note(
        XUL, [SourceResult(name, AccessDenied(f"{name}: refused: 403 Forbidden"), 0.1)]
    )
    assert '<span class="no"><bdi>Refused: 403 Forbidden</bdi></span>' in shown(client)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFound("{}: 404"), "Not there"),
        (AccessDenied("{}: refused: 403 Forbidden"), "Refused: 403 Forbidden"),
        (NotAsked("{}: not asked, it has ELF files"), "Not asked: it has no such files"),
        (Throttled("{}: 429"), "Limits the rate of requests"),
        (Unavailable("{}: 500"), "Does not answer"),
        (TooLarge("{}: more than 4 bytes"), "There, but larger than the limit"),
        (Malformed("{}: of another build"), "There, but it cannot be used"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("scheme", ["symsrv", "unified", "buildid"])
def test_explain_results_of_an_upstream_are_distinct(
    client: Client, settings: Settings, tmp_path: Path, scheme: str, error: TeckenError, expected: str
) -> None:
    name = f"{scheme}+file://{tmp_path}/upstream"
    settings.SYMBOL_SOURCES = [name]
    services.discard_all()
    told = type(error)(str(error).format(name))
    storage_services.lookup_log().note(XUL, [SourceResult(name, told, 0.1)])
    page = shown(client)
    assert f"<bdi>{expected}</bdi>" in page
    assert str(tmp_path) not in page


def test_explain_module_of_try_builds_names_how_to_ask_for_it(client: Client) -> None:
    storage_services.try_files().put(symbol_file(XUL), gzip_chunks([sym(XUL)]))
    work()
    page = shown(client)
    assert "Only try builds have its symbols." in page
    assert "No source has its symbols." not in page


def test_explain_disabled_upstream_shows_it(client: Client, runtime_options: Override) -> None:
    runtime_options(sources_off=("upstream",))
    assert "Disabled by an operator" in shown(client)


def test_look_again_queues_job_and_shows_result(
    client: Client, builder: User, tmp_path: Path, sent: list[list[str]]
) -> None:
    work()
    symbolication_services.conversion_tracker().forget(XUL)
    give(tmp_path, sym(XUL))
    assert "No source has its symbols." in shown(client)
    for _ in range(2):
        reply = client.post(PAGE)
        assert (reply.status_code, reply["Location"]) == (302, PAGE)
    assert sent == [list(XUL)]
    page = shown(client)
    assert "No worker has started it yet." in page
    assert f'hx-get="{PAGE}"' in page
    work()
    page = shown(client)
    assert "Its symbols are here." in page
    assert "hx-get" not in page


def test_explain_started_job_shows_it(client: Client) -> None:
    with symbolication_services.conversion_lock().hold(XUL):
        assert "A worker is looking for it now." in shown(client)


def test_explain_scanned_module_shows_its_job(client: Client) -> None:
    symbolication_services.conversion_tracker().publish_frames(XUL, "", EarlyFrames("", {1: None}))
    page = shown(client)
    assert "A worker is looking for it now." in page
    assert f'hx-get="{PAGE}"' in page


@pytest.mark.parametrize(
    ("permission", "status"),
    [
        ("upload.upload_try_symbols", 302),
        ("upload.view_all_uploads", 302),
        ("runtimeconfig.change_option", 302),
        ("runtimeconfig.view_option", 403),
    ],
)
def test_look_again_is_for_uploaders_and_operators(
    client: Client, permission: str, status: int, sent: list[list[str]]
) -> None:
    logged_in(client, "somebody@example.com", permission)
    assert client.post(PAGE).status_code == status
    assert len(sent) == (status == 302)
    assert ("Look again" in shown(client)) == (status == 302)


def test_look_again_anonymous_is_refused(client: Client, sent: list[list[str]]) -> None:
    assert client.post(PAGE).status_code == 403
    assert sent == []


def test_look_again_forged_is_refused(builder: User, sent: list[list[str]]) -> None:
    client = Client(enforce_csrf_checks=True)
    client.force_login(builder)
    assert client.post(PAGE).status_code == 403
    assert sent == []


def test_explain_shows_own_uploads(client: Client, builder: User) -> None:
    mine = upload_of(builder)
    file_of(mine)
    file_of(upload_of(person("other@example.com")))
    page = shown(client)
    assert "build@example.com" in page.partition("Uploads</h2>")[2]
    assert f'href="/uploads/{mine.pk}/"' in page
    assert "other@example.com" not in page
    assert "5C2E3F4A1000" in page
    nobody = shown(Client())
    assert "example.com" not in nobody.partition("<main")[2]
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    assert "other@example.com" in shown(client)


def test_explain_stored_but_remembered_missing_is_shown(client: Client) -> None:
    """The banner said "No source has its symbols." above a table in which they were."""
    work()
    storage_services.own_files().put(symbol_file(XUL), [b"gzip"])
    page = shown(client)
    assert "Its symbol file is here, but remembered as missing." in page
    assert "There, 4 B" in page
    assert "No place has" not in page


def test_explain_symbols_without_file_are_shown(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(XUL))
    work()
    (tmp_path / "upstream" / str(symbol_file(XUL))).unlink()
    storage_services.lookup_log().note(
        XUL, [SourceResult(f"file://{tmp_path}/upstream", NotFound("it is not there"), 0.1)]
    )
    page = shown(client)
    assert "Its symbols are here." in page
    assert "Its symbol file has been removed from all sources." in page


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
    assert "Other builds of <bdi>xul.pdb</bdi> are stored." in page
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


def test_explain_shows_number_of_requests(client: Client) -> None:
    for number in (1, 2):
        MissingSymbol.objects.create(
            digest=str(number),
            debug_file=XUL.debug_file,
            debug_id=XUL.debug_id,
            count=number * 1000,
            symbolications=number * 100,
            last_seen="2026-01-31T12:00:00Z",
        )
    assert "3,000 requests, 300 of them for symbolication, last" in shown(client)


def test_explain_has_few_queries(
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
        ({"file": f"v1/a%20b.so/{XUL.debug_id}/a%20b.so.sym"}, ObjectId("a b.so", XUL.debug_id)),
    ],
)
def test_form_redirects_to_module(client: Client, query: dict[str, str], found: ObjectId) -> None:
    reply = client.get("/explain/", query)
    assert reply.status_code == 302, reply.content
    assert reply["Location"] == f"/explain/{str(found).replace(' ', '%20')}/"
    assert client.get(reply["Location"]).status_code == 200


def test_form_with_code_id_redirects_to_module(client: Client) -> None:
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
        {"id": "nonsense"},
        {"file": "a\0b", "id": XUL.debug_id},
        {"code_file": "xul.dll"},
        {"file": "//evil.example/", "id": XUL.debug_id},
    ],
)
def test_form_without_module_is_400(client: Client, query: dict[str, str]) -> None:
    reply = client.get("/explain/", query)
    assert reply.status_code == 400
    page = reply.content.decode()
    assert 'role="alert"' in page
    assert "<script>alert" not in page


BUILD_ID = "2170740035ee5228259b8189628eb7ac26e4b705"
ELF_ID = "00747021EE352852259B8189628EB7AC0"


def elf_file(name: str = "libc.so.6") -> None:
    file_of(
        None,
        name,
        key=f"v1/{name}/{ELF_ID}/{name}",
        debug_file=name,
        debug_id=ELF_ID,
        code_file="",
        code_id="",
        format="elf",
        build_id=BUILD_ID,
        native_id=ELF_ID,
    )


@pytest.mark.parametrize(
    "some_id", [BUILD_ID, BUILD_ID.upper(), ELF_ID, ELF_ID[:-1].lower(), f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"]
)
def test_form_with_an_id_alone_finds_the_file(client: Client, some_id: str) -> None:
    elf_file()
    reply = client.get("/explain/", {"id": some_id})
    assert (reply.status_code, reply.headers["Location"]) == (302, f"/explain/libc.so.6/{ELF_ID}/")


def test_form_with_an_id_of_several_files_lists_them(client: Client) -> None:
    elf_file()
    elf_file("libm.so.6")
    page = shown(client, f"/explain/?id={BUILD_ID}")
    assert f'href="/explain/libc.so.6/{ELF_ID}/"' in page
    assert f'href="/explain/libm.so.6/{ELF_ID}/"' in page


def test_form_with_an_id_alone_reports_another_age(client: Client) -> None:
    file_of(None)
    reply = client.get("/explain/", {"id": "{44E4EC8C-2F41-492B-9369-D6B9A059577C}-9"})
    page = reply.content.decode()
    assert (reply.status_code, "the same GUID and another age" in page) == (404, True)
    assert f'href="/explain/xul.pdb/{XUL.debug_id}/"' in page


def test_form_with_an_unknown_id_says_that_a_name_is_needed(client: Client) -> None:
    reply = client.get("/explain/", {"id": BUILD_ID})
    assert (reply.status_code, "Its name is needed" in reply.content.decode()) == (404, True)


def test_form_with_a_code_id_alone_is_for_users_who_upload(client: Client) -> None:
    """A time and a size can be guessed."""
    file_of(None)
    assert client.get("/explain/", {"id": "5C2E3F4A1000"}).status_code == 404
    logged_in(client, "build@example.com", "upload.upload_symbols")
    assert client.get("/explain/", {"id": "5c2e3f4a1000"}).headers["Location"] == PAGE


def test_form_with_a_code_id_in_place_of_a_debug_id_finds_the_module(client: Client) -> None:
    file_of(None)
    reply = client.get("/explain/", {"file": "xul.dll", "id": "5c2e3f4a1000"})
    assert (reply.status_code, reply.headers["Location"]) == (302, PAGE)


def test_files_of_try_builds_are_not_found_by_id_alone(client: Client) -> None:
    elf_file()
    SymbolFile.objects.update(try_symbols=True)
    assert client.get("/explain/", {"id": BUILD_ID}).status_code == 404


def test_form_with_an_id_of_zeros_finds_nothing(client: Client) -> None:
    file_of(None, debug_id="0" * 33)
    assert client.get("/explain/", {"id": "0" * 33}).status_code == 404


def test_explain_shows_the_names_under_which_an_id_is_stored(client: Client) -> None:
    file_of(None)
    page = shown(client, f"/explain/other.pdb/{XUL.debug_id}/")
    assert "stored under another name" in page
    assert f'href="{PAGE}"' in page
    assert "stored under another name" not in shown(client)


def test_form_with_an_id_and_a_database_that_is_down_is_503(client: Client) -> None:
    def refuse(*_query: object) -> None:
        raise OperationalError("the server has gone away")

    with connection.execute_wrapper(refuse):
        assert client.get("/explain/", {"id": BUILD_ID}).status_code == 503


def test_form_is_public(client: Client) -> None:
    page = shown(client, "/explain/")
    assert "Why is this module missing?" in page
    assert 'href="/missing/"' in page


def test_explain_escapes_names(client: Client) -> None:
    page = shown(client, f"/explain/%3Cimg%20src=x%20onerror=alert(1)%3E\u202egnp.exe/{XUL.debug_id}/")
    assert "<img" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;\\u202egnp.exe" in page


def test_explain_invalid_id_is_400(client: Client) -> None:
    reply = client.get("/explain/xul.pdb/xyz/")
    assert reply.status_code == 400
    assert "debug id must be" in reply.content.decode()


def test_explain_redis_store_down_shows_rest(
    client: Client, builder: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    work()
    symbolication_services.conversion_tracker().forget(XUL)
    monkeypatch.setattr(symbolication_services.explainer(), "_store", StoreIsAway())
    page = shown(client)
    assert "<strong>redis-store</strong> does not answer" in page
    assert "Not there" in page
    assert "Its state is not known now." in page


def test_explain_redis_cache_down_shows_rest(
    client: Client, settings: Settings, sent: list[list[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = f"redis://127.0.0.1:{free_port()}"
    settings.CACHES = {**settings.CACHES, "default": {**settings.CACHES["default"], "LOCATION": refused}}
    services.discard_all()
    monkeypatch.setattr(store_services, "page_store", lambda: MemoryPageStore(1000))
    page = shown(client)
    assert "<strong>redis-cache</strong> does not answer" in page
    assert "Its state is not known now." in page


def test_explain_storage_down_shows_rest(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    work()
    symbolication_services.conversion_tracker().forget(XUL)
    page_files, files = MemoryPageFiles(), MemoryFiles("bucket.example")
    page_files.outage = files.outage = Unavailable("bucket.example is away")
    monkeypatch.setattr(symbolication_services.explainer(), "_page_files", page_files)
    monkeypatch.setattr(storage_services.search(), "regular", files)
    page = shown(client)
    assert "<strong>storage</strong> does not answer" in page
    assert "Does not answer" in page
    assert "In the last search no source had its symbols." in page
    assert "No source has its symbols." not in page
    assert "bucket.example" not in page


def test_explain_database_down_shows_rest(client: Client) -> None:
    def refuse(*_query: object) -> None:
        raise OperationalError("the server has gone away")

    with connection.execute_wrapper(refuse):
        page = shown(client)
        reply = client.get("/missing/")
    assert "<strong>The database</strong> does not answer" in page
    assert "It was not requested recently." in page
    assert reply.status_code == 503
    assert "The database does not answer" in reply.content.decode()


def test_explain_result_without_store_is_shown(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(symbolication_services.explainer(), "_store", StoreIsAway())
    work()
    assert symbolication_services.conversion_tracker().get([XUL]) != [Ready()]
    assert "No source has its symbols." in shown(client)


@pytest.mark.parametrize("path", [PAGE, "/explain/?file=xul.pdb"])
def test_explain_over_limit_is_429(client: Client, runtime_options: Override, path: str) -> None:
    runtime_options(limit_api=("1 requests/hour per address",))
    assert client.get(path).status_code in (200, 400)
    assert client.get(path).status_code == 429


def test_page_shows_native_files_and_what_is_missing() -> None:
    native = Native(("frames.so/ID/frames.so",), ("There is no unwind information.",))
    source = native_state("Native files", native, shows_names=True)
    assert source is not None
    assert (source.found, source.name) == (True, "frames.so/ID/frames.so")
    assert source.result == "There. There is no unwind information."
    hidden = native_state("Native files", native, shows_names=False)
    assert hidden is not None
    assert hidden.name == ""
    assert native_state("Native files", None, shows_names=True) is None


def remedy(page: str) -> str:
    """The sentence that ends the page."""
    return page.partition('<section id="remedy">')[2].partition("</section>")[0]


UPLOAD = "tecken-upload --url http://testserver xul.pdb"


@pytest.mark.parametrize(
    ("error", "sentence", "step"),
    [
        (NotFound("404"), "It was never uploaded, and no upstream has it", UPLOAD),
        (AccessDenied("403"), "An upstream refuses to give it", UPLOAD),
        (Throttled("429"), "An upstream limits the rate of requests; look again in a minute", ""),
        (Unavailable("500"), "A source that may have it did not answer", ""),
        (TooLarge("more than 4 bytes"), "larger than this site takes", "/config/#symbol_max_bytes"),
        (Malformed("no symbols"), "An upstream has a file that cannot be used", UPLOAD),
    ],
    ids=lambda value: type(value).__name__,
)
def test_explain_ends_with_cause_and_command(
    client: Client, tmp_path: Path, error: TeckenError, sentence: str, step: str
) -> None:
    storage_services.lookup_log().note(XUL, [SourceResult(f"file://{tmp_path}/upstream", error, 0.1)])
    ended = remedy(shown(client))
    assert sentence in ended
    assert step in ended


def test_explain_wrong_file_of_upstream_ends_with_wrong_id(client: Client, tmp_path: Path) -> None:
    give(tmp_path, sym(ObjectId("xul.pdb", "F" * 33)))
    work()
    page = shown(client)
    assert "Its symbol file cannot be used." in page
    assert "is of another build (wrong id)" in remedy(page)


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"debug_id": XUL.debug_id[:32] + "1"}, "stored with a different age, as " + XUL.debug_id[:32] + "1"),
        ({"debug_id": "C" * 33}, "Only other builds of it are stored"),
        ({"completed_at": None}, "Its upload has not finished; run the upload again"),
        ({}, "its file has been removed since; upload it again"),
    ],
)
def test_explain_row_of_file_gives_cause(client: Client, columns: dict[str, Any], sentence: str) -> None:
    work()
    file_of(None, **columns)
    assert sentence in remedy(shown(client))
    assert UPLOAD in remedy(shown(client))


def test_explain_disabled_upstream_ends_with_switch(client: Client, runtime_options: Override) -> None:
    runtime_options(sources_off=("upstream",))
    assert 'switch it on: <a href="/config/#sources_off">' in " ".join(
        remedy(shown(client)).split("</bdi>")
    ).replace(" :", ":")


def test_explain_banner_and_last_sentence_agree(client: Client, tmp_path: Path) -> None:
    """For a module that is stored and remembered as missing, that is being converted, or that is found."""
    work()
    storage_services.own_files().put(symbol_file(XUL), gzip_chunks([sym(XUL)]))
    assert "A source has its symbol file" in remedy(shown(client))
    symbolication_services.remove_derived(XUL)
    with symbolication_services.conversion_lock().hold(XUL):
        page = shown(client)
        assert "A worker is looking for it now." in page
        assert "A worker is looking for it" in remedy(page)
    work()
    page = shown(client)
    assert "Its symbols are here." in page
    assert remedy(page) == ""
