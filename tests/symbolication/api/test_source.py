"""POST /source/v1: the source file that a frame refers to."""

from __future__ import annotations

import io
from typing import Any

import pytest
from django.test import Client

from tecken.symbolication import services as symbolication_services
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tests.support.options import Override
from tests.support.source_bundles import bundle
from tests.upload.natives import BUILD_ID, ELF_ID, convert, send, send_bytes
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db
NATIVE = "/build/src/native.c"
TEXTS = {NATIVE: "int steps;  /* ä */\n".encode() + b"\xff\n", "/build/src/secret.c": b"other"}
QUERY = {"debugName": "libnative.so", "debugId": ELF_ID, "moduleOffset": "0x1335", "file": NATIVE}
INLINED = f"""MODULE Linux x86_64 {ELF_ID} app
FILE 0 /src/outer.c
FILE 1 /src/deep.h
INLINE_ORIGIN 0 deep
FUNC 10 20 0 outer
INLINE 0 7 0 0 10 8
10 8 3 1
18 18 4 0
"""


def post_bundle(builder: Uploader, content: bytes) -> None:
    file = io.BytesIO(content)
    file.name = "sources.zip"
    assert builder.client.post("/upload/", {"sources.zip": file}).status_code == 201


@pytest.fixture
def site(native_builder: Uploader, uploader: Makes) -> Client:
    """Has a native file with its source bundle. The client may read source code."""
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    post_bundle(native_builder, bundle(ELF_ID, TEXTS))
    convert(ObjectId("libnative.so", ELF_ID))
    return uploader("view_sources", "reader@example.com").client


def ask(client: Client, **changes: Any) -> Any:
    return client.post("/source/v1", QUERY | changes, content_type="application/json")


def test_source_of_a_frame_is_returned_in_the_form_of_samply(site: Client) -> None:
    reply = ask(site)
    assert reply.status_code == 200, reply.content
    assert reply.json() == {
        "symbolsLastModified": None,
        "sourceLastModified": None,
        "file": NATIVE,
        "source": "int steps;  /* ä */\n\N{REPLACEMENT CHARACTER}\n",
    }
    assert reply["Access-Control-Allow-Origin"] == "*"
    assert reply["Cache-Control"] == "no-store"


def test_source_of_a_module_named_by_its_build_id_is_found(site: Client) -> None:
    convert(ObjectId("any", BUILD_ID.upper()))
    assert ask(site, debugName="any", debugId=BUILD_ID).status_code == 200


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"file": "/build/src/secret.c"}, "is not present in the symbolication frames"),
        ({"file": "/build/src/../src/native.c"}, "is not present in the symbolication frames"),
        ({"file": "/etc/passwd"}, "is not present in the symbolication frames"),
        ({"file": ""}, "is not present in the symbolication frames"),
        ({"moduleOffset": "0x0"}, "is not present in the symbolication frames"),
        ({"debugId": "A" * 33}, "No symbols of"),
    ],
)
def test_file_that_the_frame_does_not_refer_to_is_refused(
    site: Client, changes: dict[str, str], reason: str
) -> None:
    convert(ObjectId("libnative.so", "A" * 33))
    reply = ask(site, **changes)
    assert (reply.status_code, reason in reply.json()["error"]) == (404, True), reply.content


@pytest.mark.parametrize(
    "changes",
    [
        {"moduleOffset": "1335"},
        {"moduleOffset": "0x"},
        {"moduleOffset": "0x" + "1" * 9},
        {"moduleOffset": 0x1335},
        {"debugId": "xyz"},
        {"debugName": "a/b"},
        {"file": None},
    ],
)
def test_invalid_query_is_400(site: Client, changes: dict[str, Any]) -> None:
    assert ask(site, **changes).status_code == 400


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"debugName": "x"}'])
def test_body_without_the_keys_is_400(site: Client, content: str) -> None:
    assert site.post("/source/v1", content, content_type="application/json").status_code == 400


def test_body_over_its_bound_is_413(site: Client) -> None:
    assert ask(site, file="x" * (65 << 10)).status_code == 413


def test_other_methods_are_405(site: Client) -> None:
    assert site.get("/source/v1").status_code == 405


def test_source_of_an_inlined_call_is_returned(uploader: Makes, runtime_options: Override) -> None:
    builder = uploader()
    runtime_options(source_code_public=True)
    send_bytes(builder, FileKey("app", ELF_ID, "app.sym"), INLINED.encode())
    post_bundle(builder, bundle(ELF_ID, {"/src/deep.h": b"deep", "/src/outer.c": b"outer"}, name="app"))
    convert(ObjectId("app", ELF_ID))
    app: dict[str, Any] = {"debugName": "app", "moduleOffset": "0x12"}
    assert ask(Client(), **app, file="/src/deep.h").json()["source"] == "deep"
    assert ask(Client(), **app, file="/src/outer.c").json()["source"] == "outer"
    assert ask(Client(), debugName="app", moduleOffset="0x19", file="/src/deep.h").status_code == 404


def test_module_without_a_bundle_is_404(
    native_builder: Uploader, client: Client, runtime_options: Override
) -> None:
    runtime_options(source_code_public=True)
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    convert(ObjectId("libnative.so", ELF_ID))
    reply = ask(client)
    assert (reply.status_code, "no source file" in reply.json()["error"]) == (404, True)


def test_source_of_a_try_build_needs_try(
    native_builder: Uploader, uploader: Makes, runtime_options: Override
) -> None:
    trier = uploader("upload_try_symbols", "trier@example.com")
    key = FileKey("libnative.so", ELF_ID, "libnative.so")
    send(trier, key, "libnative.so")
    post_bundle(trier, bundle(ELF_ID, TEXTS))
    convert(ObjectId("libnative.so", ELF_ID))
    symbolication_services.try_converter().convert(ObjectId("libnative.so", ELF_ID).in_try())
    runtime_options(source_code_public=True)
    assert ask(Client()).status_code == 404
    reply = Client().post("/source/v1?try", QUERY, content_type="application/json")
    assert reply.json()["source"].startswith("int steps;")
    # With regular symbols of the same build, their frames refer to files that only the try build has.
    send(native_builder, key, "libnative.so")
    convert(ObjectId("libnative.so", ELF_ID))
    assert (ask(Client()).status_code, "no source file" in ask(Client()).json()["error"]) == (404, True)
    runtime_options(source_code_public=False)
    assert Client().post("/source/v1?try", QUERY, content_type="application/json").status_code == 403


def test_source_larger_than_a_response_is_413(site: Client, runtime_options: Override) -> None:
    runtime_options(symbolicate_max_answer_bytes=20)
    assert ask(site).status_code == 413


def test_source_code_needs_the_permission(site: Client, client: Client, native_builder: Uploader) -> None:
    for other in (client, native_builder.client):
        assert ask(other).status_code == 403
        # Neither does a refusal show what the module refers to.
        assert ask(other, file="/etc/passwd").status_code == 403


def test_request_is_charged_as_one_frame(
    clear_redis_cache: None, site: Client, runtime_options: Override
) -> None:
    runtime_options(limit_symbolicate=("2 frames/hour per token",))
    assert [ask(site).status_code for _ in range(3)] == [200, 200, 429]
