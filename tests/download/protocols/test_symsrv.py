"""Keys of SSQP, as dotnet-symbol and SymSrv request them."""

from __future__ import annotations

import pytest
from django.test import Client

from tecken.symbols.layouts import FileKey
from tests.upload.natives import (
    DATA,
    FRAMES_BUILD_ID,
    FRAMES_ID,
    UNWIND_ID,
    WINDOWS_ID,
    debian,
    send,
    send_bytes,
)
from tests.upload.uploaders import Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

UUID = "4c4c440055553144a1a3693fb126f938"
SHORT = "2170740035ee5228"
"""An id of 8 bytes, as lld writes it with --build-id=fast."""


def download(client: Client, path: str) -> bytes | int:
    """Return the content after all redirects, or the status of an error."""
    reply = client.get(path, follow=True)
    return b"".join(reply) if reply.status_code == 200 else reply.status_code


def test_elf_files_are_found_by_build_id_under_any_name(native_builder: Uploader, client: Client) -> None:
    send(native_builder, debian(FRAMES_BUILD_ID), "frames.debug")
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    debug, code = ((DATA / name).read_bytes() for name in ("frames.debug", "frames.so"))
    assert download(client, f"/_.debug/elf-buildid-sym-{FRAMES_BUILD_ID}/_.debug") == debug
    assert download(client, f"/libframes.so/elf-buildid-{FRAMES_BUILD_ID}/libframes.so") == code
    assert download(client, f"/LibFrames.SO/elf-buildid-{FRAMES_BUILD_ID.upper()}/LibFrames.SO") == code


def test_build_id_filled_with_zeros_is_found(native_builder: Uploader, client: Client) -> None:
    content = (DATA / "frames.debug").read_bytes()
    note = bytes.fromhex(FRAMES_BUILD_ID)
    # The size of the id is 12 bytes before it.
    at = content.index(note)
    short = bytearray(content)
    short[at - 12 : at - 8] = (8).to_bytes(4, "little")
    send_bytes(native_builder, debian(SHORT), bytes(short))
    assert download(client, f"/_.debug/elf-buildid-sym-{SHORT.ljust(40, '0')}/_.debug") == bytes(short)


def test_macho_files_are_found_by_uuid(native_builder: Uploader, client: Client) -> None:
    key = FileKey("libnative.dylib", f"{UUID.upper()}0", "intel.dylib")
    send(native_builder, key, "intel.dylib")
    reply = client.get(f"/x.dylib/mach-uuid-{read_uuid('intel.dylib')}/x.dylib", follow=True)
    assert (reply.status_code, b"".join(reply)) == (200, (DATA / "intel.dylib").read_bytes())


def test_dsym_is_found_by_uuid(native_builder: Uploader, client: Client) -> None:
    uuid = read_uuid("intel.dwarf")
    send(native_builder, FileKey("libnative.dylib", f"{uuid.upper()}0", "libnative.dSYM"), "intel.dwarf")
    assert download(client, f"/_.dwarf/mach-uuid-sym-{uuid}/_.dwarf") == (DATA / "intel.dwarf").read_bytes()


def read_uuid(name: str) -> str:
    """Return the UUID of a Mach-O file: what follows the head of its LC_UUID command."""
    content = (DATA / name).read_bytes()
    command = content.index(bytes.fromhex("1b00000018000000"))
    return content[command + 8 : command + 24].hex()


@pytest.mark.parametrize(
    "path",
    [
        f"unwind.pdb/{UNWIND_ID}/unwind.pdb",
        f"unwind.pdb/{UNWIND_ID.lower()}/unwind.pdb",
        f"UNWIND.PDB/{UNWIND_ID}/UNWIND.PDB",
        f"unwind.pdb%2F{UNWIND_ID}%2Funwind.pdb",
    ],
)
def test_pdb_is_found_in_any_spelling(native_builder: Uploader, client: Client, path: str) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    assert download(client, f"/{path}") == (DATA / "unwind.pdb").read_bytes()


def test_pe_file_is_found_by_time_stamp_and_size(native_builder: Uploader, client: Client) -> None:
    send(native_builder, FileKey("unwind.exe", UNWIND_ID, "unwind.exe"), "unwind.exe")
    content = (DATA / "unwind.exe").read_bytes()
    assert download(client, "/unwind.exe/CD6F5F244000/unwind.exe") == content
    assert download(client, "/Unwind.EXE/CD6F5F244000/Unwind.EXE") == content


@pytest.mark.parametrize(
    "path",
    [
        "index2.txt",
        "pingme.txt",
        f"unwind.pdb/{UNWIND_ID}/unwind.pd_",
        f"unwind.pdb/{UNWIND_ID}/file.ptr",
        f"unwind.pdb/{UNWIND_ID}/msfz0/unwind.pdb",
        f"unwind.pdb/{WINDOWS_ID}/unwind.pdb",
        f"_.debug/elf-buildid-sym-{FRAMES_BUILD_ID}/_.debug",
        "x/sha1-2170740035ee5228259b8189628eb7ac26e4b705/x",
        "x/elf-buildid-nonsense/x",
    ],
)
def test_everything_else_is_404_because_symsrv_gives_up_on_other_errors(
    native_builder: Uploader, client: Client, path: str
) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    assert download(client, f"/{path}") == 404
