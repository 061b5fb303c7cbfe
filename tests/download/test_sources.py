"""Source files for debuggers, by build id and path, and who may read them."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.support.options import Override
from tests.support.source_bundles import TEXTS, bundle
from tests.upload.natives import BUILD_ID, ELF_ID
from tests.upload.uploaders import Makes

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
ROOT = f"/buildid/{BUILD_ID}/source"
MAIN = "/src/app/main.c"
OF_TRY = "/src/app/try.c"
BUNDLE = f"/libnative.so/{ELF_ID}/libnative.so.src.zip"
LONG = "/tmp" + f"/{'more' * 8}" * 29 + "/hello.h"
"""Longer than any path in the tests of elfutils."""
TEXT = {**TEXTS, "/usr/src/a b/ä.c": b"ae", "C:\\src\\w.c": b"windows", LONG: b"l", "/p++r$#o^^g.c": b"p"}


def body(reply: Iterable[bytes]) -> bytes:
    return b"".join(reply)


def post_bundle(client: Client, texts: Mapping[str, bytes]) -> None:
    file = io.BytesIO(bundle(ELF_ID, texts))
    file.name = "sources.zip"
    assert client.post("/upload/", {"sources.zip": file}).status_code == 201


@pytest.fixture
def site(uploader: Makes) -> Makes:
    """Has a source bundle."""
    post_bundle(uploader().client, TEXT)
    return uploader


@pytest.fixture
def reader(site: Makes) -> Client:
    """Client with a token that may read sources."""
    return site("view_sources", "reader@example.com").client


def test_source_file_is_sent_with_the_headers_of_elfutils(reader: Client) -> None:
    reply: Any = reader.get(ROOT + MAIN)
    assert (reply.status_code, body(reply)) == (200, TEXT[MAIN])
    size = str(len(TEXT[MAIN]))
    assert (reply["Content-Length"], reply["X-DEBUGINFOD-SIZE"]) == (size, size)
    assert (reply["X-DEBUGINFOD-FILE"], reply["Content-Type"]) == (MAIN, "application/octet-stream")


@pytest.fixture
def trier(site: Makes) -> Client:
    """Client with a token of try builds, which has sent another bundle of the same build."""
    client = site("upload_try_symbols", "trier@example.com").client
    post_bundle(client, {MAIN: b"changed", OF_TRY: b"of try"})
    return client


def test_source_files_of_try_builds_come_after_regular_ones(trier: Client, reader: Client) -> None:
    assert body(reader.get(f"/try{ROOT}{MAIN}")) == TEXT[MAIN]
    assert body(reader.get(f"/try{ROOT}{OF_TRY}")) == b"of try"
    assert reader.get(f"/try{ROOT}/src/app/other.c").status_code == 404


@pytest.mark.parametrize("path", [ROOT + OF_TRY, f"{ROOT}{OF_TRY}?try", f"{ROOT}/../source{OF_TRY}"])
def test_source_files_of_try_builds_are_sent_below_try_alone(
    trier: Client, reader: Client, path: str, runtime_options: Override
) -> None:
    assert reader.get(path).status_code == 404
    runtime_options(source_code_public=True)
    assert reader.get(path).status_code == 404
    assert body(reader.get(ROOT + MAIN)) == TEXT[MAIN]


def test_source_files_of_a_build_of_tries_alone_are_sent_below_try_alone(
    uploader: Makes, runtime_options: Override
) -> None:
    client = uploader("upload_try_symbols").client
    post_bundle(client, TEXT)
    runtime_options(source_code_public=True)
    assert client.get(ROOT + MAIN).status_code == client.get(BUNDLE).status_code == 404
    assert body(client.get(f"/try{ROOT}{MAIN}")) == TEXT[MAIN]
    assert body(client.get(f"/try{BUNDLE}")) == bundle(ELF_ID, TEXT)


def test_source_files_of_try_builds_need_the_permission(trier: Client, client: Client) -> None:
    for path in (OF_TRY, MAIN, "/absent.c"):
        for other in (trier, client):
            assert other.get(f"/try{ROOT}{path}").status_code == 403


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("//src//app/x/../main.c", TEXT[MAIN]),
        ("/usr/src/a%20b/%C3%A4.c", b"ae"),
        ("/C%3A%5Csrc%5Cw.c", b"windows"),
        (LONG, b"l"),
        ("/p%2B%2Br%24%23o%5E%5Eg.c", b"p"),
    ],
)
def test_path_is_found_as_debuggers_spell_it(reader: Client, path: str, text: bytes) -> None:
    assert body(reader.get(ROOT + path)) == text


def test_head_and_conditions_send_no_body(reader: Client) -> None:
    head = reader.head(ROOT + MAIN)
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(len(TEXT[MAIN])))
    assert reader.get(ROOT + MAIN, headers={"If-None-Match": head["ETag"]}).status_code == 304
    other = reader.get(ROOT + "/src/lib/zip.h", headers={"If-None-Match": head["ETag"]})
    assert other.status_code == 200


@pytest.mark.parametrize(("most", "status"), [("10", 406), ("6000", 200)])
def test_larger_file_than_the_client_takes_is_406(reader: Client, most: str, status: int) -> None:
    assert reader.get(ROOT + MAIN, headers={"X-DEBUGINFOD-MAXSIZE": most}).status_code == status


@pytest.mark.parametrize(
    ("path", "status"),
    [
        (f"{ROOT}/src/app/other.c", 404),
        (f"{ROOT}/etc/passwd", 404),
        (f"{ROOT}/../../../../etc/passwd", 404),
        (f"{ROOT}/%2e%2e/%2e%2e/etc/passwd", 404),
        (f"{ROOT}/x%00y", 404),
        (f"/buildid/{'ab' * 20}/source{MAIN}", 404),
        (f"/buildid/ab/source{MAIN}", 400),
        (f"/buildid/xyz/source{MAIN}", 400),
    ],
)
def test_other_paths_and_ids_are_not_found(reader: Client, path: str, status: int) -> None:
    assert reader.get(path).status_code == status


def test_source_code_needs_the_permission(site: Makes, client: Client) -> None:
    uploader = site().client
    unknown = Client(headers={"Auth-Token": "0" * 64})
    for path in (ROOT + MAIN, f"{ROOT}/absent.c", BUNDLE, BUNDLE.upper(), f"/try{BUNDLE}", f"{BUNDLE}?try"):
        for other in (client, uploader, unknown):
            reply = other.get(path)
            assert reply.status_code == 403, path
            assert reply.headers.get("Location") is None
    assert "storage.view_sources" in client.get(ROOT + MAIN).json()["error"]


def test_session_with_the_permission_may_read(site: Makes, client: Client) -> None:
    site("view_sources", "reader@example.com")
    client.force_login(
        User.objects.get(email="reader@example.com"), "django.contrib.auth.backends.ModelBackend"
    )
    reply = client.get(ROOT + MAIN)
    assert body(reply) == TEXT[MAIN]
    assert "no-store" in reply["Cache-Control"]


def test_reader_downloads_the_bundle(reader: Client) -> None:
    assert body(reader.get(BUNDLE)) == bundle(ELF_ID, TEXT)


def test_public_source_code_needs_no_permission(
    site: Makes, client: Client, runtime_options: Override
) -> None:
    runtime_options(source_code_public=True)
    assert body(client.get(ROOT + MAIN)) == TEXT[MAIN]
    assert body(client.get(BUNDLE)) == bundle(ELF_ID, TEXT)
