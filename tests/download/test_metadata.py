"""debuginfod's `/metadata`."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tecken.download import metadata
from tecken.symbols.layouts import FileKey
from tests.upload.natives import BUILD_ID, ELF_ID, FRAMES_BUILD_ID, FRAMES_ID, UNWIND_ID, send
from tests.upload.uploaders import Makes, Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def site(native_builder: Uploader) -> None:
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so.debug"), "frames.debug")
    send(native_builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")


def result(kind: str, build_id: str, file: str) -> dict[str, str]:
    return {"type": kind, "buildid": build_id, "file": file}


FRAMES = [result(kind, FRAMES_BUILD_ID, "frames.so") for kind in ("debuginfo", "executable")]
NATIVE = [result(kind, BUILD_ID, "libnative.so") for kind in ("debuginfo", "executable")]


def ask(client: Client, **query: str) -> Any:
    reply = client.get("/metadata", query)
    assert (reply.status_code, reply["Content-Type"]) == (200, "application/json")
    return reply.json()


@pytest.mark.parametrize(
    ("key", "value", "results"),
    [
        ("file", "/usr/lib/frames.so", FRAMES),
        ("file", "frames.so", FRAMES),
        ("file", "/usr/lib/frames.s", []),
        ("file", "/usr/lib/f*", []),
        ("glob", "/usr/lib/f*", FRAMES),
        ("glob", "/usr/lib/libnat?ve.s[a-z]", NATIVE),
        ("glob", "/usr/lib/F*", []),
        ("glob", "unwind*", []),
    ],
)
def test_metadata_has_the_builds_of_a_name(client: Client, key: str, value: str, results: list[Any]) -> None:
    assert ask(client, key=key, value=value) == {"results": results, "complete": True}


def test_metadata_of_try_builds_is_below_try_alone(client: Client, uploader: Makes) -> None:
    key = FileKey("mini.so", ELF_ID, "mini.so")
    send(uploader("upload_try_symbols", "try@example.com"), key, "mini.so")
    assert ask(client, key="file", value="mini.so")["results"] == []
    reply = client.get("/try/metadata", {"key": "file", "value": "mini.so"})
    assert reply.json() == {"results": [result("executable", BUILD_ID, "mini.so")], "complete": True}


def test_metadata_beyond_a_bound_is_not_complete(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "MAX_RESULTS", 1)
    assert ask(client, key="file", value="frames.so") == {"results": FRAMES[:1], "complete": False}
    monkeypatch.setattr(metadata, "MAX_ROWS", 1)
    monkeypatch.setattr(metadata, "MAX_RESULTS", 100)
    assert ask(client, key="glob", value="frames*")["complete"] is False


@pytest.mark.parametrize(
    "query",
    [
        {},
        {"key": "file"},
        {"key": "buildid", "value": "frames.so"},
        {"key": "glob", "value": "/usr/lib/*"},
        {"key": "glob", "value": "/usr/lib/"},
        {"key": "file", "value": "a" * 1025},
        {"key": "glob", "value": "a\0b*"},
    ],
)
def test_metadata_malformed_query_is_400(client: Client, query: dict[str, str]) -> None:
    reply = client.get("/metadata", query)
    assert (reply.status_code, "value" in reply.json()["error"]) == (400, True)
