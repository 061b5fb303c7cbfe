"""CAB files over HTTP: stored as they are sent, beside the file in them, which symbolicates."""

from __future__ import annotations

from typing import Any

import pytest

from tecken.storage.models import SymbolFile
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tests.support.cabinets import LZX, PLAIN, QUANTUM, cabinet
from tests.support.options import Override
from tests.upload.natives import DATA, WINDOWS_ID, frame, needs_rust, send_bytes
from tests.upload.tars import tarred
from tests.upload.test_forms import keys, reasons, send, upload
from tests.upload.uploaders import Uploader, stored

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

PLAIN_PDB = (DATA / "native.pdb").read_bytes()
# Of gcab, a program that has nothing in common with ours.
PACKED_PDB = (DATA.with_name("cabinets") / "native.pd_").read_bytes()
KEY = FileKey("native.pdb", WINDOWS_ID, "native.pd_")
PLAIN_KEY = KEY._replace(file_name="native.pdb")
MODULE = ObjectId("native.pdb", WINDOWS_ID)
# Of the PDB and of the PE file that belongs to it.
CODE_ID = "CF9A71C03000"


def messages(answer: dict[str, Any]) -> list[str]:
    return [warning["message"] for warning in answer["warnings"]]


@pytest.mark.parametrize("path", [str(KEY), f"a/b/{KEY}", "build/native.pd_"])
def test_upload_packed_pdb_symbolicates_and_both_forms_are_stored(
    native_builder: Uploader, path: str
) -> None:
    answer = upload(native_builder, tarred({path: PACKED_PDB}))
    assert (answer["warnings"], answer["ignored_keys"]) == ([], [])
    assert (answer["members_total"], answer["members_done"]) == (2, 2)
    assert stored(KEY) == PACKED_PDB
    assert stored(PLAIN_KEY) == PLAIN_PDB
    assert frame(native_builder, MODULE, 0x1010)["line"] == 11
    row = SymbolFile.objects.get(key=f"v1/{PLAIN_KEY}")
    assert (row.format, row.native_id, row.original_size) == ("pdb", WINDOWS_ID, len(PLAIN_PDB))


@needs_rust
def test_upload_pdb_packed_with_lzx_symbolicates(native_builder: Uploader) -> None:
    assert send_bytes(native_builder, KEY, cabinet(PLAIN_PDB, method=LZX))["warnings"] == []
    assert frame(native_builder, MODULE, 0x1010)["line"] == 11


@pytest.mark.parametrize(("name", "stored_as"), [("native.pd_", "native.pd_"), ("", "native.pd_")])
def test_upload_cabinet_alone_has_the_key_of_its_file(
    native_builder: Uploader, name: str, stored_as: str
) -> None:
    url, kind = f"/upload/?name={name}", "application/octet-stream"
    reply = native_builder.client.post(url, PACKED_PDB, content_type=kind)
    assert reply.status_code == 201, reply.content
    assert keys() == [f"v1/{KEY._replace(file_name=stored_as)}", f"v1/{PLAIN_KEY}"]


def test_upload_packed_program_is_found_by_debug_id_and_code_id(native_builder: Uploader) -> None:
    program = (DATA / "native.exe").read_bytes()
    upload(native_builder, tarred({"bin/native.ex_": cabinet(program, "native.exe", PLAIN)}))
    names = ("native.ex_", "native.exe")
    both = (("native.pdb", WINDOWS_ID), ("native.exe", CODE_ID))
    expected = {FileKey(*names_of, name) for names_of in both for name in names}
    assert {key.removeprefix("v1/") for key in keys()} == set(map(str, expected))
    assert stored(FileKey("native.exe", CODE_ID, "native.exe")) == program


def test_upload_packed_and_plain_file_stores_each_as_sent(native_builder: Uploader) -> None:
    other = PLAIN_PDB + b"\0"
    answer = upload(native_builder, tarred({str(KEY): PACKED_PDB, str(PLAIN_KEY): other}))
    assert (stored(KEY), stored(PLAIN_KEY)) == (PACKED_PDB, other)
    assert answer["members_total"] == 2


def test_upload_packed_file_again_is_skipped(native_builder: Uploader) -> None:
    send_bytes(native_builder, KEY, PACKED_PDB)
    answer = send_bytes(native_builder, KEY, PACKED_PDB)
    assert sorted(answer["skipped_keys"]) == [f"v1/{KEY}", f"v1/{PLAIN_KEY}"]


def test_upload_other_content_in_a_packed_file_replaces_both(native_builder: Uploader) -> None:
    send_bytes(native_builder, KEY, PACKED_PDB)
    other = PLAIN_PDB + b"\0"
    send_bytes(native_builder, KEY, cabinet(other))
    assert stored(PLAIN_KEY) == other


def test_direct_upload_of_a_packed_file_stores_the_file_in_it(native_builder: Uploader) -> None:
    announced = native_builder.announce({KEY: PACKED_PDB})
    assert native_builder.put(announced["files"][0]["action"]["url"], PACKED_PDB).status_code in (200, 201)
    assert native_builder.complete(announced["id"]).status_code == 200
    assert stored(PLAIN_KEY) == PLAIN_PDB


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (cabinet(PLAIN_PDB, files=2), "it cannot be identified: the CAB file has 2 files in 1 folders"),
        (cabinet(PLAIN_PDB, method=QUANTUM), "it cannot be identified: the CAB file is packed with Quantum"),
        (cabinet(PLAIN_PDB)[:-1], "it cannot be unpacked: "),
        (cabinet(PLAIN_PDB, damage=1), "it cannot be unpacked: "),
        (cabinet(PLAIN_PDB, size=len(PLAIN_PDB) + 1), "it cannot be unpacked: "),
        (cabinet(bytes(4_000_000)), "it cannot be unpacked: the file in it has more than 200 times its size"),
    ],
)
def test_upload_of_a_broken_cabinet_is_stored_with_the_reason(
    native_builder: Uploader, content: bytes, reason: str
) -> None:
    answer = send_bytes(native_builder, KEY, content)
    assert stored(KEY) == content
    assert [message for message in messages(answer) if message.startswith(reason)]
    assert [message for message in messages(answer) if "it will not symbolicate" in message]
    flat = upload(native_builder, tarred({"x/native.pd_": content, str(PLAIN_KEY): PLAIN_PDB}))
    assert reasons(flat)["x/native.pd_"].startswith("not stored: it cannot be unpacked: ")


def test_upload_of_a_cabinet_over_the_size_limit_is_stored_with_the_reason(
    native_builder: Uploader, runtime_options: Override
) -> None:
    runtime_options(symbol_max_bytes=len(PLAIN_PDB) - 1)
    assert f"at most {len(PLAIN_PDB) - 1}" in messages(send_bytes(native_builder, KEY, PACKED_PDB))[0]


def test_upload_of_a_cabinet_under_the_name_of_its_file_is_stored_with_the_reason(
    native_builder: Uploader,
) -> None:
    answer = send_bytes(native_builder, PLAIN_KEY, PACKED_PDB)
    assert "the name of a CAB file with native.pdb ends in _" in messages(answer)[0]
    assert stored(PLAIN_KEY) == PACKED_PDB


def test_upload_of_a_broken_cabinet_alone_is_400(native_builder: Uploader) -> None:
    reply = send(native_builder, cabinet(PLAIN_PDB, files=2), "native.pd_")
    assert (reply.status_code, "has 2 files" in reply.json()["error"]) == (400, True)
