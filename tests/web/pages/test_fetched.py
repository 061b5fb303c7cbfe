"""/fetched/: modules of upstreams."""

from __future__ import annotations

from pathlib import Path

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import DjangoAssertNumQueries, Settings

from tecken import services
from tecken.errors import Unavailable
from tecken.storage import services as storage_services
from tecken.storage.models import FetchedModule
from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tests.symbolication.samples import page_file, sym
from tests.web.api.rows import fetched_of
from tests.web.conftest import logged_in

pytestmark = pytest.mark.django_db
HOSTILE = "<script>\u202e.pdb"
ID = "1EB9FACB04C73C5DEA7160764CD333D01"


@pytest.fixture(autouse=True)
def storage(tmp_path: Path, settings: Settings) -> None:
    settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    settings.SYMBOL_SOURCES = []
    services.discard_all()


def shown(client: Client, query: str = "", status: int = 200) -> str:
    reply = client.get(f"/fetched/{query}")
    assert reply.status_code == status, reply.content
    return reply.content.decode()


def test_fetched_empty_shows_text(client: Client, viewer: User) -> None:
    page = shown(client)
    assert "No symbols have been fetched from an upstream yet." in page
    assert "removed 90 days after" in page


def test_fetched_shows_modules_and_totals(client: Client, viewer: User) -> None:
    fetched_of()
    page = shown(client)
    assert f'href="/explain/ntdll.pdb/{ID}/"' in page
    assert 'code id <bdi class="id">5B6D0C12E1000</bdi> of <bdi>ntdll.dll</bdi>' in page
    assert 'href="?upstream=symsrv%2Bhttps%3A%2F%2Fmsdl.example.com%2F"' in page
    assert "1 modules" in page
    assert "runtimeconfig.change_option" in page
    assert 'name="module"' not in page


def test_fetched_filters_select_rows(client: Client, viewer: User) -> None:
    fetched_of()
    fetched_of("libc.so.6", debug_id="A" * 33, code_id="", upstream="debuginfod+https://d.example.org/")
    page = shown(client, "?any_id=5b6d0c12e1000")
    assert "ntdll.pdb/" in page
    assert "libc.so.6/" not in page
    page = shown(client, "?upstream=debuginfod%2Bhttps%3A%2F%2Fd.example.org%2F")
    assert "libc.so.6/" in page
    assert "msdl.example.com" not in page
    assert "No module matches these filters." in shown(client, "?debug_file=none.pdb")


@pytest.mark.parametrize("query", ["?any_id=xyz", "?fetched_at=soon", "?page=0", "?sort=upstream"])
def test_fetched_invalid_filter_is_400(client: Client, viewer: User, query: str) -> None:
    assert 'role="alert"' in shown(client, query, 400)


def test_fetched_escapes_names(client: Client, viewer: User) -> None:
    fetched_of(HOSTILE, code_file=HOSTILE, upstream=HOSTILE, format="<b>")
    page = shown(client)
    for text in ("<script>", "\u202e", "<b>"):
        assert text not in page.partition("<main")[2].partition("</main>")[0]


def test_fetched_has_few_queries(
    client: Client, viewer: User, django_assert_max_num_queries: DjangoAssertNumQueries
) -> None:
    for number in range(60):
        fetched_of(debug_id=f"{number:033X}")
    with django_assert_max_num_queries(9):
        page = shown(client)
    assert page.count('scope="row"') == 51
    assert 'rel="next"' in page


def page_files_of(*rows: FetchedModule) -> None:
    for row in rows:
        module = ObjectId(row.debug_file, row.debug_id)
        storage_services.page_files().write(module, [page_file(sym(module))])


def left() -> set[str]:
    names = {module.name for module, _ in storage_services.page_files().entries()}
    assert names == set(FetchedModule.objects.values_list("debug_file", flat=True))
    return names


@pytest.mark.parametrize(("every", "expected"), [({}, {"b", "c"}), ({"every": "on"}, {"c"})])
def test_remove_chosen_modules(
    client: Client, operator: User, every: dict[str, str], expected: set[str]
) -> None:
    a, b, c = (fetched_of(name) for name in "abc")
    page_files_of(a, b, c)
    assert f'value="{a.pk}"' in shown(client)
    sent = {"module": [a.pk], "shown": [a.pk, b.pk], **every}
    reply = client.post("/fetched/?format=pdb", sent)
    assert (reply.status_code, reply.headers["Location"]) == (302, "/fetched/?format=pdb")
    assert left() == expected
    assert f"{3 - len(expected)} removed." in shown(client)


@pytest.mark.parametrize("module", [[], ["0"], ["x"], ["-1"], ["9" * 40], ["\u0661"]])
def test_remove_of_no_module_says_so(client: Client, operator: User, module: list[str]) -> None:
    fetched_of()
    assert client.post("/fetched/", {"module": module}).status_code == 302
    assert "No module was chosen." in shown(client)
    assert FetchedModule.objects.exists()


def test_remove_is_for_operators(client: Client, viewer: User) -> None:
    row = fetched_of()
    assert client.post("/fetched/", {"module": row.pk}).status_code == 403
    logged_in(client, "audit@example.com", "upload.view_all_uploads")
    assert client.post("/fetched/", {"module": row.pk}).status_code == 403
    assert FetchedModule.objects.exists()


def test_remove_forged_is_refused(operator: User) -> None:
    row = fetched_of()
    client = Client(enforce_csrf_checks=True)
    client.force_login(operator)
    assert client.post("/fetched/", {"module": row.pk}).status_code == 403
    assert FetchedModule.objects.exists()


def test_remove_without_storage_keeps_the_record(
    client: Client, operator: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_module: ObjectId) -> None:
        raise Unavailable("no storage")

    monkeypatch.setattr(symbolication_services, "remove_derived", refuse)
    assert client.post("/fetched/", {"module": fetched_of().pk}).status_code == 503
    assert FetchedModule.objects.exists()


@pytest.mark.parametrize("permission", ["upload.upload_symbols", "tokens.manage_tokens"])
def test_fetched_is_refused_to_others(client: Client, permission: str) -> None:
    logged_in(client, "other@example.com", permission)
    shown(client, status=403)
