"""Keys of SSQP, as dotnet-symbol and SymSrv request them."""

from __future__ import annotations

import io
from struct import pack
from typing import NamedTuple
from urllib.parse import quote

import pytest
from django.test import Client

from tecken.symbols.layouts import FileKey
from tests.symbols.formats.test_native import metadata
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
from tests.upload.zips import zipped

PACKED_ID = WINDOWS_ID
PORTABLE = metadata((b"#Strings", b"\0"), (b"#Pdb", bytes(range(16)) + pack("<I", 0xD1B5A3C7)))
PORTABLE_GUID = "030201000504070608090a0b0c0d0e0f"
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
        f"unwind.exe/{UNWIND_ID}/msfz0/unwind.exe",
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


def test_portable_pdb_is_found_by_guid_and_by_time_stamp(native_builder: Uploader, client: Client) -> None:
    """The path says nothing, so the ids come from the content."""
    archive = {"build/App.pdb": PORTABLE}
    file = io.BytesIO(zipped(archive))
    file.name = "build.zip"
    reply = native_builder.client.post("/upload/", {"symbols.zip": file})
    assert "another build" not in str(reply.json()["upload"]["warnings"])
    assert download(client, f"/app.pdb/{PORTABLE_GUID}ffffffff/app.pdb") == PORTABLE
    assert download(client, f"/App.pdb/{PORTABLE_GUID.upper()}D1B5A3C7/App.pdb") == PORTABLE
    assert download(client, f"/App.pdb/{PORTABLE_GUID}1/App.pdb") == 404


def test_compressed_pdb_is_sent_on_request(native_builder: Uploader, client: Client) -> None:
    send(native_builder, FileKey("native.pdb", PACKED_ID, "native.pdb"), "packed.pdb")
    packed = (DATA / "packed.pdb").read_bytes()
    for path, accept in (
        (f"/native.pdb/{PACKED_ID}/msfz0/native.pdb", "*/*"),
        (f"/NATIVE.pdb/{PACKED_ID.lower()}/msfz0/NATIVE.pdb", "*/*"),
        (f"/native.pdb/{PACKED_ID}/native.pdb", "application/msfz0"),
    ):
        reply = client.get(path, headers={"Accept": accept}, follow=True)
        assert (reply["Content-Type"], b"".join(reply)) == ("application/msfz0", packed)


# Clients that do not run here. Their requests, in their order, with the statuses that let them go on.


class Request(NamedTuple):
    path: str
    status: int
    method: str = "GET"


class Replay(NamedTuple):
    """Requests of a client, and the headers that it sends."""

    headers: dict[str, str]
    requests: list[Request]


PDB, EXE = f"unwind.pdb/{UNWIND_ID}", "unwind.exe/CD6F5F244000"
ABSENT = f"ntdll.pdb/{WINDOWS_ID}"
DOTNET_KEYS = {
    f"unwind.pdb/{UNWIND_ID.lower()}/unwind.pdb": 200,
    "unwind.exe/CD6F5F244000/unwind.exe": 200,
    f"frames.so/elf-buildid-{FRAMES_BUILD_ID}/frames.so": 200,
    f"_.debug/elf-buildid-sym-{FRAMES_BUILD_ID}/_.debug": 200,
    f"app.pdb/{PORTABLE_GUID}FFFFFFFF/app.pdb": 200,
    f"libcoreclr.so/elf-buildid-{'ab' * 20}/libcoreclr.so": 404,
    f"_.dwarf/mach-uuid-sym-{UUID}/_.dwarf": 404,
    f"coreclr.dll/sha1-{FRAMES_BUILD_ID}/coreclr.dll": 404,
    "app.ni.r2rmap/r2rmap-v1-71B5F6A4E1D9C1E0/app.ni.r2rmap": 404,
}
SYMSRV = {"User-Agent": "Microsoft-Symbol-Server/10.0.22621.2428"}
REPLAYS = {
    # WinDbg: two-tier stores have an index2.txt; then the file, and where that is absent its other forms.
    "windbg": Replay(
        SYMSRV,
        [
            Request("index2.txt", 404),
            Request(f"{EXE}/unwind.exe", 200),
            Request(f"{PDB}/unwind.pdb", 200),
            Request(f"{ABSENT}/ntdll.pdb", 404),
            Request(f"{ABSENT}/msfz0/ntdll.pdb", 404),
            Request(f"{ABSENT}/ntdll.pd_", 404),
            Request(f"{ABSENT}/file.ptr", 404),
        ],
    ),
    # Former versions of symsrv.dll request the cabinet and the pointer first.
    "symchk": Replay(
        {"User-Agent": "Microsoft-Symbol-Server/6.2.9200.16384"},
        [
            Request("pingme.txt", 404),
            Request(f"{PDB}/unwind.pd_", 404),
            Request(f"{PDB}/file.ptr", 404),
            Request(f"{PDB}/unwind.pdb", 200),
        ],
    ),
    "visual studio": Replay(
        {**SYMSRV, "Accept": "application/msfz0, */*", "Accept-Encoding": "gzip"},
        [
            Request(f"{PDB}/unwind.pdb", 200),
            Request(f"{ABSENT}/ntdll.pdb", 404),
            # A Portable PDB of .NET.
            Request(f"App.pdb/{PORTABLE_GUID.upper()}FFFFFFFF/App.pdb", 200),
        ],
    ),
    # Both at once, and a file is there for a 200 only.
    "dump_syms": Replay(
        {"User-Agent": "Microsoft-Symbol-Server/6.3.0.0"},
        [Request(f"{PDB}/unwind.pdb", 200, "HEAD"), Request(f"{PDB}/unwind.pd_", 404, "HEAD")],
    ),
    # The whole key is escaped. After any status but 404 and those of an outage it stops using the server.
    "dotnet-symbol": Replay(
        {"SymbolChecksum": f"SHA256:{'ab' * 32}"},
        [Request(quote(key, safe=""), status) for key, status in DOTNET_KEYS.items()],
    ),
    # LLVM's client of debuginfod.
    "lldb": Replay(
        {"Accept": "*/*"},
        [
            Request(f"buildid/{FRAMES_BUILD_ID}/executable", 200),
            Request(f"buildid/{FRAMES_BUILD_ID}/debuginfo", 200),
            Request(f"buildid/{'ab' * 20}/debuginfo", 404),
        ],
    ),
}


@pytest.mark.parametrize("name", REPLAYS)
def test_requests_of_a_client_have_the_statuses_that_it_expects(
    native_builder: Uploader, client: Client, name: str
) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    send(native_builder, FileKey("unwind.exe", UNWIND_ID, "unwind.exe"), "unwind.exe")
    send(native_builder, debian(FRAMES_BUILD_ID), "frames.debug")
    send(native_builder, FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")
    send_bytes(native_builder, FileKey("App.pdb", f"{PORTABLE_GUID}FFFFFFFF", "App.pdb"), PORTABLE)
    for path, status, method in REPLAYS[name].requests:
        request = client.head if method == "HEAD" else client.get
        reply = request(f"/{path}", headers=REPLAYS[name].headers, follow=True)
        assert (path, reply.status_code) == (path, status)
