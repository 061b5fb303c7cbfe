"""Native files in buckets and directories, as symstore and other tools write them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tecken.errors import NotFound, TooLarge, Unavailable
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.port import FetchLimits
from tecken.storage.upstreams import bucket
from tecken.storage.upstreams.bucket import BucketTransport
from tecken.symbols.ids import ObjectId
from tests.storage.upstreams.natives import ELF_MODULE, PDB_MODULE, Natives
from tests.support.cabinets import cabinet
from tests.upload.natives import BUILD_ID, DATA, WINDOWS_ID

pytest_plugins = ["tests.support.upstreams", "tests.storage.upstreams.spooled"]

PDB = (DATA / "native.pdb").read_bytes()
ELF = (DATA / "libnative.so").read_bytes()
PATHS = {
    "as requested": f"native.pdb/{WINDOWS_ID}/native.pdb",
    "another case": f"Native.PDB/{WINDOWS_ID.lower()}/NATIVE.pdb",
    "packed": f"native.pdb/{WINDOWS_ID}/native.pd_",
    "packed, another case": f"NATIVE.PDB/{WINDOWS_ID}/NATIVE.PD_",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "store"
    path.mkdir()
    return path


def transport_of(directory: Path, limits: FetchLimits | None = None) -> BucketTransport:
    current = limits or FetchLimits()
    return BucketTransport(bucket_for(directory.as_uri(), create=False), lambda: current)


def write(directory: Path, path: str, content: bytes) -> None:
    (directory / path).parent.mkdir(parents=True, exist_ok=True)
    (directory / path).write_bytes(content)


def text(natives: Natives, scheme: str, module: ObjectId, transport: BucketTransport) -> str:
    with natives.make(scheme, transport=transport).open(module) as chunks:
        return b"".join(chunks).decode()


@pytest.mark.parametrize("tiers", [False, True])
@pytest.mark.parametrize("kind", PATHS)
def test_symstore_directory_is_read_in_any_case(
    natives: Natives, directory: Path, kind: str, tiers: bool
) -> None:
    if tiers:
        write(directory, "index2.txt", b"")
    prefix = f"{PATHS[kind][:2]}/" if tiers else ""
    write(directory, prefix + PATHS[kind], cabinet(PDB) if "packed" in kind else PDB)
    found = text(natives, "symsrv", PDB_MODULE, transport_of(directory))
    assert found.startswith(f"MODULE windows x86_64 {WINDOWS_ID} native.pdb\n")


@pytest.mark.parametrize("path", [PATHS["as requested"], PATHS["another case"].lower(), PATHS["packed"]])
@pytest.mark.parametrize("tiers", [False, True])
def test_symstore_bucket_is_read_as_requested_and_in_lower_case(
    request: pytest.FixtureRequest, natives: Natives, path: str, tiers: bool
) -> None:
    store = bucket_for(f"s3://{request.getfixturevalue('s3_bucket').name}/symbols", create=False)
    if tiers:
        store.put("index2.txt", [b"two tiers"])
    prefix = f"{path[:2]}/" if tiers else ""
    store.put(prefix + path, [cabinet(PDB) if path.endswith("_") else PDB])
    module = ObjectId("Native.pdb", WINDOWS_ID) if path.islower() else PDB_MODULE
    assert text(natives, "symsrv", module, BucketTransport(store)).startswith("MODULE windows")


def test_names_of_a_large_directory_are_compared_up_to_a_bound(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(directory, "name", b"")
    assert bucket.find_spelling(directory, "NAME") == "name"
    monkeypatch.setattr(bucket, "MAX_ENTRIES", 0)
    assert bucket.find_spelling(directory, "NAME") == "NAME"
    assert bucket.find_spelling(directory, "name") == "name"


def test_build_id_links_lead_to_files_elsewhere(natives: Natives, directory: Path) -> None:
    write(directory, "bin/program", ELF)
    link = directory / f".build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../bin/program")
    assert text(natives, "buildid", ELF_MODULE, transport_of(directory)).startswith("MODULE Linux")
    link.unlink()
    link.symlink_to("../../bin/absent")
    with pytest.raises(NotFound):
        text(natives, "buildid", ELF_MODULE, transport_of(directory))


def test_symbol_file_of_the_unified_layout_comes_first(natives: Natives, directory: Path) -> None:
    path = f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"
    symbols = b"MODULE Linux x86_64 %s libnative.so\nPUBLIC 1000 0 f\n" % ELF_MODULE.debug_id.encode()
    write(directory, f"{path}/breakpad", symbols)
    write(directory, f"{path}/debuginfo", ELF)
    assert text(natives, "unified", ELF_MODULE, transport_of(directory)).encode() == symbols
    by_build_id = ObjectId("libnative.so", BUILD_ID.upper())
    assert text(natives, "unified", by_build_id, transport_of(directory)).encode() == symbols


def test_directory_that_is_not_there_is_unavailable(natives: Natives, directory: Path) -> None:
    for scheme, module in (("symsrv", PDB_MODULE), ("buildid", ELF_MODULE), ("unified", ELF_MODULE)):
        with pytest.raises(Unavailable, match="no such bucket or directory"):
            text(natives, scheme, module, transport_of(directory / "absent"))


def test_what_is_no_regular_file_is_not_opened(directory: Path) -> None:
    """To open a named pipe would wait for its writer."""
    os.mkfifo(directory / "pipe")
    (directory / "folder").mkdir()
    (directory / "zeros").symlink_to("/dev/zero")
    for name in ("pipe", "folder", "zeros"):
        with pytest.raises(NotFound, match="no regular file"), transport_of(directory).get(name):
            pytest.fail("opened")


def test_file_over_the_limit_is_not_opened(directory: Path) -> None:
    write(directory, "large", bytes(11))
    limits = FetchLimits(max_bytes=10)
    with pytest.raises(TooLarge, match="more than 10 bytes"), transport_of(directory, limits).get("large"):
        pytest.fail("opened")


def test_deadline_that_has_passed_ends_the_fetch(directory: Path) -> None:
    write(directory, "file", b"content")
    transport = transport_of(directory)
    with pytest.raises(Unavailable, match="no answer in time"), transport.get("file", 0.0):
        pytest.fail("opened")
    with pytest.raises(Unavailable, match="no answer in time"):
        transport.check("file", ends=0.0)
    over = transport_of(directory, FetchLimits(deadline=-1.0))
    with pytest.raises(Unavailable, match="no answer in time"), over.get("file"):
        pytest.fail("opened")
