"""ELF files and their sections for debuggers, by build id."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from django.test import Client

from tecken.symbols.layouts import FileKey
from tests.upload.natives import (
    BUILD_ID,
    COMMON_BUILD_ID,
    DATA,
    FRAMES_BUILD_ID,
    FRAMES_ID,
    debian,
    send,
    send_bytes,
)
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

ROOT = f"/buildid/{FRAMES_BUILD_ID}"
DEBUG = (DATA / "frames.debug").read_bytes()
CODE = (DATA / "frames.so").read_bytes()


def body(reply: Iterable[bytes]) -> bytes:
    return b"".join(reply)


@pytest.fixture
def site(native_builder: Uploader, client: Client) -> Client:
    """Has a debug file under the name that Debian gives it, and its executable."""
    send(native_builder, debian(FRAMES_BUILD_ID), "frames.debug")
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    return client


def test_debug_file_and_executable_are_sent_with_the_headers_of_elfutils(site: Client) -> None:
    debug, code = site.get(f"{ROOT}/debuginfo"), site.get(f"{ROOT}/executable")
    assert (debug.status_code, body(debug)) == (200, DEBUG)
    assert (code.status_code, body(code)) == (200, CODE)
    assert (debug["X-DEBUGINFOD-SIZE"], debug["Content-Length"]) == (str(len(DEBUG)), str(len(DEBUG)))
    assert debug["X-DEBUGINFOD-FILE"] == f"{FRAMES_BUILD_ID[2:]}.debug"
    assert (code["X-DEBUGINFOD-FILE"], code["Content-Type"]) == ("frames.so", "application/octet-stream")


def test_file_in_one_piece_is_both(native_builder: Uploader, client: Client) -> None:
    send(native_builder, FileKey("libnative.so", BUILD_ID, "libnative.so"), "libnative.so")
    whole = (DATA / "libnative.so").read_bytes()
    for part in ("debuginfo", "executable"):
        assert body(client.get(f"/buildid/{BUILD_ID}/{part}")) == whole


def test_common_file_is_found_by_its_own_build_id(native_builder: Uploader, client: Client) -> None:
    send(native_builder, debian(COMMON_BUILD_ID), "common.debug")
    reply = client.get(f"/buildid/{COMMON_BUILD_ID}/debuginfo")
    assert body(reply) == (DATA / "common.debug").read_bytes()
    assert client.get(f"/buildid/{COMMON_BUILD_ID}/executable").status_code == 404


@pytest.mark.parametrize(
    ("section", "content"),
    [(".debug_line", DEBUG[0x475 : 0x475 + 0x86]), (".text", CODE[0x3C0 : 0x3C0 + 0x38])],
)
def test_section_is_cut_from_the_file_that_has_its_bytes(site: Client, section: str, content: bytes) -> None:
    reply = site.get(f"{ROOT}/section/{section}")
    assert (reply.status_code, body(reply)) == (200, content)
    assert (reply["Content-Length"], reply["X-DEBUGINFOD-SIZE"]) == (str(len(content)), str(len(content)))
    part = site.get(f"{ROOT}/section/{section}", headers={"Range": "bytes=3-6", "If-Range": reply["ETag"]})
    assert (part.status_code, body(part)) == (206, content[3:7])
    assert part["Content-Range"] == f"bytes 3-6/{len(content)}"
    assert site.get(f"{ROOT}/section/{section}", headers={"Range": "bytes=999-"}).status_code == 416


def test_conditional_requests_and_head_send_no_body(site: Client) -> None:
    path = f"{ROOT}/section/.debug_line"
    head = site.head(path)
    assert (head.status_code, head.content, head["Content-Length"]) == (200, b"", str(0x86))
    assert site.get(path, headers={"If-None-Match": head["ETag"]}).status_code == 304
    assert site.get(f"{ROOT}/debuginfo", headers={"If-None-Match": head["ETag"]}).status_code == 200


@pytest.mark.parametrize(
    ("most", "status"),
    [("6000", 200), (str(len(DEBUG)), 200), ("100", 406), ("", 200), ("-1", 200), ("x", 200)],
)
def test_larger_file_than_the_client_takes_is_406(site: Client, most: str, status: int) -> None:
    reply = site.get(f"{ROOT}/debuginfo", headers={"X-DEBUGINFOD-MAXSIZE": most})
    assert reply.status_code == status


def test_unknown_build_id_asks_the_database_once(
    site: Client, django_assert_num_queries: pytest.FixtureRequest
) -> None:
    path = f"/buildid/{'ab' * 20}/debuginfo"
    assert site.get(path).status_code == 404
    with django_assert_num_queries(0):  # type: ignore[operator]
        assert site.get(path).status_code == 404


def test_upload_makes_an_absent_file_known_at_once(native_builder: Uploader, client: Client) -> None:
    paths = [f"{ROOT}/debuginfo", f"{ROOT}/executable", f"{ROOT}/section/.debug_line"]
    assert [client.get(path).status_code for path in paths] == [404, 404, 404]
    send(native_builder, debian(FRAMES_BUILD_ID), "frames.debug")
    assert [client.get(path).status_code for path in paths] == [200, 404, 200]
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    assert client.get(paths[1]).status_code == 200


def test_file_of_a_try_build_is_served_below_try_alone(
    native_builder: Uploader, uploader: Makes, client: Client
) -> None:
    paths = [f"{ROOT}/debuginfo", f"{ROOT}/section/.debug_line"]
    assert [client.get(f"/try{path}").status_code for path in paths] == [404, 404]
    send(uploader("upload_try_symbols", "try@example.com"), debian(FRAMES_BUILD_ID), "frames.debug")
    assert [client.get(path).status_code for path in paths] == [404, 404]
    assert body(client.get(f"/try{paths[0]}")) == DEBUG
    assert body(client.get(f"/try{paths[1]}")) == DEBUG[0x475 : 0x475 + 0x86]
    # Of the executable there is a regular file, which a debugger needs, too.
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    assert body(client.get(f"/try{ROOT}/executable")) == CODE


def test_regular_file_comes_before_that_of_a_try_build(
    native_builder: Uploader, uploader: Makes, client: Client
) -> None:
    of_try = DEBUG + b"of try"
    send_bytes(uploader("upload_try_symbols", "try@example.com"), debian(FRAMES_BUILD_ID), of_try)
    assert body(client.get(f"/try{ROOT}/debuginfo")) == of_try
    send(native_builder, debian(FRAMES_BUILD_ID), "frames.debug")
    assert body(client.get(f"/try{ROOT}/debuginfo")) == DEBUG


@pytest.mark.parametrize("path", ["/buildid/xyz/debuginfo", f"{ROOT}/nonsense", f"{ROOT}/section/"])
def test_malformed_request_is_400_with_a_reason(client: Client, path: str) -> None:
    reply = client.get(path)
    assert (reply.status_code, "hex" in reply.json()["error"] or "request" in reply.json()["error"]) == (
        400,
        True,
    )
