from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import OperationalError, connection
from django.test import Client
from django.utils import timezone

from tecken.storage import services as storage_services
from tecken.storage.models import SymbolFile
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tests.download.conftest import XUL

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("storage")]

CODE_ID = "5AB38077A000"
PATH = f"/xul.dll/{CODE_ID}/xul.sym"
OTHER = ObjectId("xul.pdb", "F" * 33)

Uploaded = Callable[..., None]


@pytest.fixture
def uploaded() -> Uploaded:
    """A row as an upload writes it."""

    def row(module: ObjectId, *, of_try: bool = False, complete: bool = True) -> None:
        key: FileKey = symbol_file(module)
        SymbolFile.objects.create(
            key=f"v1/{key}",
            debug_file=module.debug_file,
            debug_id=module.debug_id,
            code_file="xul.dll",
            code_id=CODE_ID,
            try_symbols=of_try,
            completed_at=timezone.now() if complete else None,
        )
        storage_services.presence_cache().forget_file(key, "xul.dll", CODE_ID)

    return row


REGULAR = ObjectId(XUL.debug_file, XUL.debug_id)


def test_a_code_id_leads_to_the_debug_id(client: Client, uploaded: Uploaded) -> None:
    uploaded(REGULAR)
    for path in (PATH, PATH.lower(), PATH.replace("/xul.sym", "/xul.dll.sym")):
        answer = client.get(path)
        assert (answer.status_code, answer["Location"]) == (302, f"/{XUL}")
        assert client.head(path)["Location"] == f"/{XUL}"


def test_download_by_code_id_leads_to_the_spelling_that_was_uploaded(
    client: Client, uploaded: Uploaded
) -> None:
    uploaded(ObjectId("Xul.pdb", REGULAR.debug_id))
    for _ in ("database", "redis-cache"):
        assert client.get(PATH)["Location"] == f"/Xul.pdb/{REGULAR.debug_id}/Xul.sym"


@pytest.mark.parametrize("query", ["?a=b&c=%C3%A9", "?try", "?try=1&_refresh"])
def test_the_query_is_kept(client: Client, uploaded: Uploaded, query: str) -> None:
    uploaded(REGULAR)
    assert client.get(PATH + query)["Location"] == f"/{XUL}{query}"


def test_names_are_quoted(client: Client, uploaded: Uploaded) -> None:
    uploaded(ObjectId("a b?#%.pdb", XUL.debug_id))
    assert client.get(PATH)["Location"] == f"/a%20b%3F%23%25.pdb/{XUL.debug_id}/a%20b%3F%23%25.sym"


def test_try_builds_only_for_whoever_asks_for_them(client: Client, uploaded: Uploaded) -> None:
    uploaded(REGULAR, of_try=True)
    assert client.get(PATH).status_code == 404
    assert client.get(f"{PATH}?try")["Location"] == f"/{XUL}?try"
    assert client.get(f"/try{PATH}?a=b")["Location"] == f"/try/{XUL}?a=b"


def test_the_newest_regular_one(client: Client, uploaded: Uploaded) -> None:
    uploaded(OTHER)
    uploaded(REGULAR)
    uploaded(OTHER, of_try=True)
    assert client.get(f"/try{PATH}")["Location"] == f"/try/{XUL}"


def test_what_is_announced_is_not_there_yet(client: Client, uploaded: Uploaded) -> None:
    uploaded(REGULAR, complete=False)
    assert client.get(PATH).status_code == 404


def test_an_upload_ends_a_404(client: Client, uploaded: Uploaded) -> None:
    assert client.get(PATH).status_code == 404
    uploaded(REGULAR)
    assert client.get(PATH).status_code == 302


def test_only_symbols_have_code_ids(client: Client, uploaded: Uploaded) -> None:
    uploaded(REGULAR)
    assert client.get(f"/xul.dll/{CODE_ID}/xul.dl_").status_code == 404


@pytest.mark.django_db(transaction=True)
def test_a_database_that_does_not_answer_is_not_a_404(client: Client) -> None:
    with connection.execute_wrapper(_away):
        assert client.get(PATH).status_code == 503
        assert client.get(f"/{XUL}").status_code == 404  # so many digits are no code id


def _away(*_: object) -> None:

    raise OperationalError("away")


def test_code_id_of_a_module_with_a_zero_id_is_not_found(client: Client, uploaded: Uploaded) -> None:
    uploaded(ObjectId("xul.pdb", "0" * 33))
    assert client.get(PATH).status_code == 404


@pytest.mark.parametrize("path", [PATH.lower(), PATH.replace("xul.dll", "XUL.DLL")])
def test_code_file_of_windows_in_another_case_is_found(client: Client, uploaded: Uploaded, path: str) -> None:
    assert client.get(path).status_code == 404
    uploaded(REGULAR)
    assert client.get(path)["Location"] == f"/{XUL}"
