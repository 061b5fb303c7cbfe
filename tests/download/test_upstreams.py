from __future__ import annotations

import gzip
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.storage import services as storage_services
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.symbols.ids import ObjectId
from tests.download.conftest import PATH, TEXT, XUL, Put
from tests.support.http_upstream import HttpUpstream, Reply

pytest_plugins = ["tests.support.upstreams"]


@pytest.fixture
def directory(storage: Path, tmp_path: Path, settings: Settings) -> Path:
    """An upstream that has no URLs, with one file."""
    path = tmp_path / "upstream" / str(XUL)
    path.parent.mkdir(parents=True)
    path.write_bytes(TEXT)
    settings.SYMBOL_SOURCES = [f"file://{tmp_path}/upstream"]
    return path


@pytest.fixture
def web(storage: Path, upstream: HttpUpstream, settings: Settings) -> Iterator[HttpUpstream]:
    upstream.script[PATH] = Reply(200, TEXT)
    settings.SYMBOL_SOURCES = [upstream.url]
    yield upstream
    forget()


XUL_MODULE = ObjectId(XUL.debug_file, XUL.debug_id)


def forget() -> None:
    """Also closes the connections."""
    for switched in storage_services.upstreams():
        if isinstance(switched.upstream, SymbolFileUpstream):
            switched.upstream.close()
    services.discard_all()


def test_an_http_upstream_is_where_to_go(client: Client, web: HttpUpstream) -> None:
    for _ in range(2):
        answer = client.get(f"{PATH}?code_file=xul.dll")
        assert (answer.status_code, answer["Location"]) == (302, f"{web.url}{XUL}")
    assert len(web.requests) == 1
    assert client.head(PATH).status_code == 200


def test_an_upstream_with_a_password_is_not_where_to_go(
    client: Client, web: HttpUpstream, settings: Settings
) -> None:
    settings.SYMBOL_SOURCES = [web.url.replace("//", "//user:secret@") + "#served=yes"]
    answer = client.get(PATH)
    assert (answer.status_code, answer.content) == (200, TEXT)


def test_an_upstream_with_a_password_is_for_symbolication_only(
    client: Client, web: HttpUpstream, settings: Settings
) -> None:
    settings.SYMBOL_SOURCES = [web.url.replace("//", "//user:secret@")]
    assert client.get(PATH).status_code == 404
    assert web.requests == []
    with storage_services.symbol_search().open(XUL_MODULE) as chunks:
        assert b"".join(chunks) == TEXT


@pytest.mark.parametrize("kind", ["web", "directory"])
def test_an_upstream_that_is_not_served_is_for_symbolication_only(
    client: Client, web: HttpUpstream, directory: Path, settings: Settings, kind: str
) -> None:
    url = web.url if kind == "web" else f"file://{directory.parents[2]}"
    settings.SYMBOL_SOURCES = [f"{url}#served=no"]
    assert client.get(PATH).status_code == 404
    with storage_services.symbol_search().open(XUL_MODULE) as chunks:
        assert b"".join(chunks) == TEXT


def test_an_upstream_that_is_served_no_more(client: Client, web: HttpUpstream, settings: Settings) -> None:
    """The cache has the place of the file from before."""
    assert client.get(PATH).status_code == 302
    forget()
    settings.SYMBOL_SOURCES = [f"{web.url}#served=no"]
    assert client.get(PATH).status_code == 404


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_another_upstream_is_read_for_the_client(client: Client, directory: Path, pack: type[bytes]) -> None:
    directory.write_bytes(pack(TEXT))
    answer = client.get(PATH)
    assert (answer.status_code, answer.content) == (200, TEXT)
    assert "Content-Encoding" not in answer


def test_what_is_ours_comes_first(client: Client, web: HttpUpstream, put: Put) -> None:
    assert client.get(PATH).status_code == 302
    put(XUL, gzip.compress(b"ours"))
    assert client.get(PATH).content == b"ours"


def test_download_with_try_prefers_the_upstream(client: Client, web: HttpUpstream, put: Put) -> None:
    put(XUL, gzip.compress(b"of try"), of_try=True)
    for path in (f"/try{PATH}", f"{PATH}?try"):
        assert client.get(path)["Location"] == f"{web.url}{XUL}"
    del web.script[PATH]
    assert client.get(f"{PATH}?try&_refresh").content == b"of try"


def test_upstreams_have_symbols_only(client: Client, web: HttpUpstream) -> None:
    assert client.get(PATH.replace("xul.sym", "xul.pd_")).status_code == 404
    assert client.get(PATH.replace("xul.sym", "other.sym")).status_code == 404
    assert web.requests == []


def test_an_upstream_that_does_not_answer_is_not_a_404(client: Client, web: HttpUpstream) -> None:
    web.script[PATH] = Reply(429, headers={"Retry-After": "77"})
    answer = client.get(PATH)
    assert answer.status_code == 503
    assert 70 <= int(answer["Retry-After"]) <= 77


def test_another_upstream_may_have_it(
    client: Client, web: HttpUpstream, directory: Path, settings: Settings
) -> None:
    settings.SYMBOL_SOURCES = [web.url, f"file://{directory.parents[2]}"]
    web.script[PATH] = Reply(404)
    assert client.get(PATH).content == TEXT


def test_an_upstream_that_has_gone_from_the_settings(
    client: Client, web: HttpUpstream, directory: Path, settings: Settings
) -> None:
    settings.SYMBOL_SOURCES = [web.url]
    assert client.get(PATH).status_code == 302
    forget()
    settings.SYMBOL_SOURCES = [f"file://{directory.parents[2]}"]
    assert client.get(PATH).content == TEXT


def test_unavailable_directory_is_not_named(client: Client, directory: Path) -> None:
    shutil.rmtree(directory.parents[2])
    answer = client.get(PATH)
    assert answer.status_code == 503
    assert answer.json()["error"] == "a source: no such bucket or directory"
