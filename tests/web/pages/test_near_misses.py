"""/explain/ of modules that are missing while something like them was uploaded, and /missing/."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client

from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.tasks import write_misses
from tests.symbolication.samples import sym
from tests.upload.natives import (
    ELF_ID,
    FRAMES_ID,
    UNWIND_ID,
    WINDOWS_ID,
    convert,
    send,
    send_bytes,
)
from tests.upload.uploaders import Uploader
from tests.web.conftest import logged_in

pytest_plugins = ["tests.upload.site"]
pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("clear_redis_cache")]
GUID = WINDOWS_ID[:32]
CODE_ID = "CF9A71C03000"
MISSING_BUILD = "B" * 33


@pytest.fixture
def people(client: Client) -> Client:
    """Client of a user who may see the ids of other builds."""
    logged_in(client, "see@example.com", "upload.upload_symbols")
    return client


def explained(client: Client, file: str, debug_id: str) -> str:
    return client.get(f"/explain/{file}/{debug_id}/").content.decode()


def link(file: str, debug_id: str) -> str:
    return f'<a href="/explain/{file}/{debug_id}/">'


def upload_symbols(builder: Uploader, file: str, debug_id: str) -> None:
    module = ObjectId(file, debug_id)
    send_bytes(builder, symbol_file(module), sym(module))


AGE = "A file with the same GUID and another age is stored"


@pytest.mark.parametrize("native", [False, True])
def test_same_guid_with_another_age_is_named(native_builder: Uploader, native: bool) -> None:
    if native:
        send(native_builder, FileKey("native.pdb", WINDOWS_ID, "native.pdb"), "native.pdb")
    else:
        upload_symbols(native_builder, "native.pdb", WINDOWS_ID)
    for file in ("native.pdb", "NATIVE.PDB"):
        page = explained(Client(), file, f"{GUID}2")
        assert AGE in page
        assert link("native.pdb", WINDOWS_ID) in page
    assert AGE not in explained(Client(), "native.pdb", "C" * 33)


def test_same_guid_of_an_executable_alone_is_named(native_builder: Uploader) -> None:
    """It is stored below its code id, and names its PDB."""
    send(native_builder, FileKey("native.exe", CODE_ID, "native.exe"), "native.exe")
    page = explained(Client(), "native.pdb", f"{GUID}2")
    assert AGE in page
    assert f"{link('native.exe', WINDOWS_ID)}<code>{WINDOWS_ID}</code></a> of <bdi>native.exe</bdi>" in page


def upload_two(builder: Uploader, native: bool) -> tuple[str, str, str]:
    """Upload builds A and C of a file. Return its name and their ids."""
    if not native:
        for debug_id in (ELF_ID, FRAMES_ID):
            upload_symbols(builder, "libnative.so", debug_id)
        return "libnative.so", ELF_ID, FRAMES_ID
    send(builder, FileKey("libnative.so", ELF_ID, "libnative.so"), "libnative.so")
    send(builder, FileKey("libnative.so", FRAMES_ID, "libnative.so"), "frames.so")
    return "libnative.so", ELF_ID, FRAMES_ID


@pytest.mark.parametrize("native", [False, True])
def test_other_builds_of_the_file_are_named(native_builder: Uploader, people: Client, native: bool) -> None:
    file, *ids = upload_two(native_builder, native)
    page = explained(people, file, MISSING_BUILD)
    assert "These builds of <bdi>libnative.so</bdi> are stored" in page
    for debug_id in ids:
        assert page.count(link(file, debug_id)) == 1
    public = explained(Client(), file, MISSING_BUILD)
    assert "Other builds of <bdi>libnative.so</bdi> are stored." in public
    assert ELF_ID not in public


def test_other_builds_of_a_program_have_the_ids_in_the_files(
    native_builder: Uploader, people: Client
) -> None:
    send(native_builder, FileKey("app.exe", CODE_ID, "app.exe"), "native.exe")
    send(native_builder, FileKey("app.exe", "A" * 8 + "1000", "app.exe"), "unwind.exe")
    page = explained(people, "APP.EXE", MISSING_BUILD)
    for debug_id in (WINDOWS_ID, UNWIND_ID):
        assert link("app.exe", debug_id) in page


ONLY_CODE = "Only the executable was uploaded: functions come from its symbol table."


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("native.exe", ObjectId("native.pdb", WINDOWS_ID)),
        ("native.exe", ObjectId("native.exe", CODE_ID)),
        ("stripped.so", ObjectId("libnative.so", ELF_ID)),
    ],
)
def test_executable_without_its_debug_file_is_named(
    native_builder: Uploader, name: str, module: ObjectId
) -> None:
    send(native_builder, FileKey(name, MISSING_BUILD, name), name)
    page = explained(Client(), *module)
    assert ONLY_CODE in page
    assert "Uploaded native files" in page


def test_missing_shows_modules_of_symbolications(native_builder: Uploader, client: Client) -> None:
    """Each request counts once, whatever the number of its stacks."""
    libc = ObjectId("libc.so.6", ELF_ID)
    convert(libc)
    job: dict[str, Any] = {"memoryMap": [[*libc]], "stacks": [[[0, number]] for number in range(5)]}
    for _ in range(9):
        assert client.post("/symbolicate/v5", job, "application/json").status_code == 200
    write_misses()
    page = client.get("/missing/?debug_file=libc.so.6").content.decode()
    assert f'href="/explain/libc.so.6/{ELF_ID}/"' in page
    assert '<td class="number">9</td><td class="number">9</td><td class="number">0</td>' in page
    assert "9 requests, 9 of them for symbolication" in explained(client, *libc)
