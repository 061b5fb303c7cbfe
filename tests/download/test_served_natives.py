"""Downloads of native files that only an upstream has, by the protocols of debuggers."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest
import stamina
from django.test import Client
from pytest_django import Settings

from tecken import services
from tecken.redisclient import services as redis_services
from tecken.storage import services as storage_services
from tecken.storage.port import MAX_HOPS
from tecken.symbols.layouts import FileKey
from tests.support.http_upstream import HttpUpstream, Reply
from tests.upload.natives import ARM_ID, BUILD_ID, DATA, WINDOWS_ID

pytest_plugins = ["tests.support.upstreams"]
pytestmark = pytest.mark.django_db

UUID = ARM_ID[:32].lower()
PDB, PACKED = f"/native.pdb/{WINDOWS_ID}/native.pdb", f"/native.pdb/{WINDOWS_ID}/native.pd_"
PE = "/native.exe/CF9A71C03000/native.exe"
DEBUG, EXECUTABLE = f"/buildid/{BUILD_ID}/debuginfo", f"/buildid/{BUILD_ID}/executable"
SSQP_DEBUG = f"/_.debug/elf-buildid-sym-{BUILD_ID}/_.debug"
SSQP_DWARF = f"/_.dwarf/mach-uuid-sym-{UUID}/_.dwarf"
SSQP_ELF = f"/libnative.so/elf-buildid-{BUILD_ID}/libnative.so"
SSQP_MACHO = f"/native/mach-uuid-{UUID}/native"
BELOW = f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"
ELF_FILE = (DATA / "libnative.so").read_bytes()
PDB_FILE = (DATA / "native.pdb").read_bytes()


@pytest.fixture
def web(storage: Path, upstream: HttpUpstream, settings: Settings) -> Iterator[HttpUpstream]:
    """A server of every layout, which is served."""
    schemes = ("symsrv", "debuginfod", "unified")
    serve(settings, *(f"{scheme}+{upstream.url}#served=yes" for scheme in schemes))
    with stamina.set_testing(True, attempts=1):
        yield upstream
    close()


def serve(settings: Settings, *entries: str) -> None:
    close()
    settings.SYMBOL_SOURCES = [*entries]
    services.discard_all()
    redis_services.cache_client().flushdb()


def close() -> None:
    for source in storage_services.upstreams():
        source.upstream.close()  # type: ignore[attr-defined]
    services.discard_all()


@pytest.mark.parametrize(
    ("path", "there"),
    [
        *((path, path) for path in (PDB, PACKED, PE, DEBUG, EXECUTABLE)),
        *((path, path) for path in (SSQP_DEBUG, SSQP_DWARF, SSQP_ELF, SSQP_MACHO)),
        (DEBUG, f"/{BELOW}/debuginfo"),
        (EXECUTABLE, f"/{BELOW}/executable"),
        (PDB, f"/{WINDOWS_ID[:2]}/{WINDOWS_ID[2:].lower()}/debuginfo"),
        (SSQP_DWARF, f"/{UUID[:2]}/{UUID[2:]}/debuginfo"),
        (
            f"/native.pdb/{WINDOWS_ID}/native.sym",
            f"/{WINDOWS_ID[:2]}/{WINDOWS_ID[2:].lower()}/breakpad",
        ),
    ],
)
def test_file_of_a_served_server_is_a_redirect(
    client: Client, web: HttpUpstream, path: str, there: str
) -> None:
    web.script[there] = Reply(body=b"content")
    for _ in range(2):
        reply = client.get(path)
        assert (reply.status_code, reply["Location"]) == (302, web.url.rstrip("/") + there)
    assert [request.path for request in web.requests].count(there) == 1
    assert client.head(path).status_code == 200


@pytest.mark.parametrize("path", [PDB, PACKED, PE, DEBUG, EXECUTABLE, SSQP_DEBUG, SSQP_ELF, SSQP_MACHO])
def test_absent_file_is_asked_for_once(client: Client, web: HttpUpstream, path: str) -> None:
    assert client.get(path).status_code == 404
    number = len(web.requests)
    assert 0 < number <= 3
    for _ in range(3):
        assert client.get(path).status_code == 404
    assert len(web.requests) == number


@pytest.mark.parametrize("path", [PDB, PACKED, PE, DEBUG, EXECUTABLE, SSQP_DEBUG, SSQP_ELF])
def test_native_upstream_is_for_symbolication_only_without_a_rule(
    client: Client, web: HttpUpstream, settings: Settings, path: str
) -> None:
    serve(settings, f"symsrv+{web.url}", f"debuginfod+{web.url}", f"unified+{web.url}", web.url)
    web.script[path] = Reply(body=b"content")
    assert client.get(path).status_code == 404
    assert web.requests == []


@pytest.mark.parametrize(
    "path",
    [
        # Names, ids and parts that no layout has: this is no proxy for other paths of the server.
        f"/native.pdb/{WINDOWS_ID}/other.pdb",
        f"/other.txt/{WINDOWS_ID}/other.txt",
        "/native.exe/CF9A71C03000/native.pdb",
        f"/_.debug/{BUILD_ID}/other.debug",
        f"/native.pdb/{WINDOWS_ID}/msfz0/native.pdb",
        f"/buildid/{BUILD_ID}/section/.text",
        f"/buildid/{BUILD_ID}/source/etc/passwd",
        f"/libnative.so/{BUILD_ID[:38]}/libnative.so",
    ],
)
def test_other_files_are_not_asked_for(client: Client, web: HttpUpstream, path: str) -> None:
    web.script[path] = Reply(body=b"content")
    assert client.get(path).status_code in (403, 404)
    assert web.requests == []


def test_file_of_our_own_comes_first_and_needs_no_upstream(client: Client, web: HttpUpstream) -> None:
    storage_services.own_files().put(FileKey("native.pdb", WINDOWS_ID, "native.pdb"), [PDB_FILE])
    assert client.get(PDB).status_code == 200
    assert web.requests == []


def test_file_of_a_directory_passes_through_this_site(
    client: Client, web: HttpUpstream, tmp_path: Path, settings: Settings
) -> None:
    store = tmp_path / "store"
    for path, content in {
        f"NATIVE.PDB/{WINDOWS_ID.lower()}/Native.pdb": PDB_FILE,
        f".build-id/{BELOW}.debug": gzip.compress(ELF_FILE),
        f"{BELOW}/executable": ELF_FILE,
    }.items():
        (store / path).parent.mkdir(parents=True)
        (store / path).write_bytes(content)
    schemes = ("symsrv", "buildid", "unified")
    serve(settings, *(f"{scheme}+{store.as_uri()}#served=yes" for scheme in schemes))
    for path, content in {PDB: PDB_FILE, DEBUG: ELF_FILE, EXECUTABLE: ELF_FILE}.items():
        reply = client.get(path)
        assert (reply.status_code, reply["Content-Type"]) == (200, "application/octet-stream")
        assert (b"".join(reply) if reply.streaming else reply.content) == content
    (store / f"{BELOW}/executable").unlink()
    assert client.get(EXECUTABLE).status_code == 404


def test_file_of_a_server_with_an_account_passes_through_this_site(
    client: Client, web: HttpUpstream, settings: Settings
) -> None:
    serve(settings, f"debuginfod+{web.url.replace('//', '//user:secret@')}#served=yes")
    web.script[DEBUG] = Reply(body=ELF_FILE)
    assert client.get(DEBUG).content == ELF_FILE
    assert web.requests[-1].headers["Authorization"].startswith("Basic ")


def test_rules_hold_for_downloads(client: Client, web: HttpUpstream, settings: Settings) -> None:
    rules = ("names=ntdll.*", "names=*.so", "platforms=macos")
    for path, scheme in ((PDB, "symsrv"), (DEBUG, "debuginfod")):
        web.script[path] = Reply(body=b"content")
        for rule in rules:
            serve(settings, f"{scheme}+{web.url}#served=yes&{rule}")
            assert client.get(path).status_code == 404
        assert web.requests == []
    serve(settings, f"debuginfod+{web.url}#served=yes&platforms=linux")
    assert client.get(DEBUG).status_code == 302


@pytest.mark.parametrize("reply", [Reply(429, headers={"Retry-After": "77"}), Reply(500)])
def test_server_that_does_not_answer_is_not_a_404(
    client: Client, web: HttpUpstream, settings: Settings, reply: Reply
) -> None:
    serve(settings, f"debuginfod+{web.url}#served=yes")
    web.script[DEBUG] = reply
    assert client.get(DEBUG).status_code == 503


def test_request_of_a_loop_ends(client: Client, web: HttpUpstream, settings: Settings) -> None:
    serve(settings, f"debuginfod+{web.url}#served=yes")
    assert client.get(DEBUG, headers={"Via": "1.1 tecken, 1.1 tecken"}).status_code == 404
    headers = web.requests[0].headers
    assert headers["Via"] == "1.1 tecken, 1.1 tecken, 1.1 tecken"
    assert headers["X-Forwarded-For"] == "unknown, unknown, unknown"
    del web.requests[:]
    for path in (EXECUTABLE, PDB):
        for name, entry in {"Via": "1.1 tecken", "X-Forwarded-For": "10.0.0.1"}.items():
            via = ", ".join([entry] * (MAX_HOPS + 1))
            assert client.get(path, headers={name: via}).status_code == 404
    assert web.requests == []


def test_two_sites_that_are_upstreams_of_each_other_end(
    client: Client, web: HttpUpstream, settings: Settings, live_server: object
) -> None:
    """The site is its own upstream here."""
    url = str(live_server)
    serve(settings, f"debuginfod+{url}/#served=yes", f"debuginfod+{web.url}#served=yes")
    assert client.get(DEBUG).status_code == 404
    assert 1 <= len(web.requests) <= MAX_HOPS
