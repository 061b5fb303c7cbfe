"""What an upstream may send: one clear reason for each layout in each place, and the next one is asked."""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import stamina
from pytest_django import Settings

from tecken.errors import AccessDenied, Malformed, NotFound, TeckenError, TooLarge, Unavailable
from tecken.storage.backends.bucket import bucket_for
from tecken.storage.backends.memory import MemorySymbols
from tecken.storage.port import FetchLimits, NativeText, ServedFile, SymbolSource, Upstream
from tecken.storage.source_chain import SourceChain
from tecken.storage.upstreams import addresses, http
from tecken.storage.upstreams.bucket import BucketTransport
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.symbol_files import SymbolFileUpstream
from tecken.storage.upstreams.transport import FileTransport
from tecken.symbols.decompression import decompress
from tecken.symbols.ids import ObjectId
from tests.storage.upstreams.natives import ELF_MODULE, LIMITS, PDB_MODULE, natives_of
from tests.support.http_upstream import HttpUpstream, Reply
from tests.support.s3_server import ACCESS, SECRET
from tests.upload.natives import ARM_ID, BUILD_ID, DATA, WINDOWS_ID

pytest_plugins = ["tests.support.upstreams"]

ELF, OTHER_ELF = (DATA / "libnative.so").read_bytes(), (DATA / "frames.debug").read_bytes()
PDB, OTHER_PDB = (DATA / "native.pdb").read_bytes(), (DATA / "unwind.pdb").read_bytes()
DWARF, OTHER_DWARF = (DATA / "fat.dwarf").read_bytes(), (DATA / "intel.dwarf").read_bytes()
TEXT = b"MODULE windows x86_64 %s native.pdb\n" % WINDOWS_ID.encode() + b"PUBLIC 1000 0 f\n" * 1000
OTHER_TEXT = TEXT.replace(WINDOWS_ID.encode(), b"A" * 33)
MAC_MODULE = ObjectId("native", ARM_ID)
UUID = ARM_ID[:32].lower()
ID = WINDOWS_ID.lower()
LARGE = LIMITS.max_bytes + 1


class File(NamedTuple):
    """A file of a layout: scheme, module, path, right content, and that of another build."""

    scheme: str
    module: ObjectId
    path: str
    right: bytes
    other: bytes


FILES = {
    "symbol file": File("", PDB_MODULE, f"native.pdb/{WINDOWS_ID}/native.sym", TEXT, OTHER_TEXT),
    "symsrv PDB": File("symsrv", PDB_MODULE, f"native.pdb/{WINDOWS_ID}/native.pdb", PDB, OTHER_PDB),
    "symsrv PE": File(
        "symsrv",
        ObjectId("native.exe", "CF9A71C03000"),
        "native.exe/CF9A71C03000/native.exe",
        (DATA / "native.exe").read_bytes(),
        (DATA / "unwind.exe").read_bytes(),
    ),
    "symsrv ELF": File("symsrv", ELF_MODULE, f"_.debug/elf-buildid-sym-{BUILD_ID}/_.debug", ELF, OTHER_ELF),
    "symsrv program": File(
        "symsrv", ELF_MODULE, f"libnative.so/elf-buildid-{BUILD_ID}/libnative.so", ELF, OTHER_ELF
    ),
    "symsrv dSYM": File("symsrv", MAC_MODULE, f"_.dwarf/mach-uuid-sym-{UUID}/_.dwarf", DWARF, OTHER_DWARF),
    "debuginfod": File("debuginfod", ELF_MODULE, f"buildid/{BUILD_ID}/debuginfo", ELF, OTHER_ELF),
    "build id": File("buildid", ELF_MODULE, f".build-id/{BUILD_ID[:2]}/{BUILD_ID[2:]}.debug", ELF, OTHER_ELF),
    "unified ELF": File("unified", ELF_MODULE, f"{BUILD_ID[:2]}/{BUILD_ID[2:]}/debuginfo", ELF, OTHER_ELF),
    "unified PDB": File("unified", PDB_MODULE, f"{ID[:2]}/{ID[2:]}/debuginfo", PDB, OTHER_PDB),
    "unified dSYM": File("unified", MAC_MODULE, f"{UUID[:2]}/{UUID[2:]}/debuginfo", DWARF, OTHER_DWARF),
    "unified symbol file": File("unified", PDB_MODULE, f"{ID[:2]}/{ID[2:]}/breakpad", TEXT, OTHER_TEXT),
}
# A directory has no bodies without an end.
SERVERS = ("http", "s3")
TRANSPORTS = (*SERVERS, "directory")
MAX_REQUESTS = {"http": 4, "s3": 8, "directory": 0}
"""Requests for a module of one id. In a bucket, two ask whether a store of symstore has tiers."""
MAX_REQUESTS_OF_A_DOWNLOAD = {"http": 1, "s3": 6, "directory": 0}


class Hostile(NamedTuple):
    """An upstream with one file. `send` sets what it sends, `reason` returns why it cannot be used."""

    file: File
    place: str
    source: Upstream
    send: Callable[[Reply], None]
    requests: Callable[[], int]
    open_files: Callable[[], list[str]]

    def reason(self, kind: type[TeckenError]) -> str:
        """Return the reason why the file cannot be used, which has the name of the upstream once."""
        with pytest.raises(kind) as raised:
            self.read(self.source)
        assert self.open_files() == []
        name = self.source.name.partition("+")[2] or self.source.name
        text = str(raised.value)
        assert text.count(name) == 1
        return text.replace(f"{name}: ", "")

    def read(self, source: SymbolSource) -> bytes:
        with source.open(self.file.module) as chunks:
            packed = chunks if isinstance(chunks, NativeText) and not self.is_text else iter(chunks)
            return b"".join(decompress(packed, LIMITS.max_bytes))

    @property
    def is_text(self) -> bool:
        return self.file.right is TEXT

    def check_next_is_asked(self) -> None:
        good = MemorySymbols({self.file.module: b"of the next"}, name="next")
        assert self.read(SourceChain([self.source, good])) == b"of the next"
        assert self.open_files() == []


@pytest.fixture(autouse=True)
def _one_attempt() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


@pytest.fixture(params=FILES)
def file(request: pytest.FixtureRequest) -> File:
    return FILES[request.param]


@pytest.fixture(params=TRANSPORTS)
def hostile(
    request: pytest.FixtureRequest,
    file: File,
    upstream: HttpUpstream,
    tmp_path: Path,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Hostile]:
    spool, store = tmp_path / "spool", tmp_path / "store"
    spool.mkdir()
    store.mkdir()
    settings.SPOOL_DIR = str(spool)
    transport, send = _place(request.param, upstream, store, file, monkeypatch)
    with natives_of(upstream, spool) as natives:
        source = (
            natives.make(file.scheme, transport=transport) if file.scheme else SymbolFileUpstream(transport)
        )
        yield Hostile(file, request.param, source, send, lambda: len(upstream.requests), natives.open_files)
    transport.close()


def _place(
    place: str, upstream: HttpUpstream, store: Path, file: File, monkeypatch: pytest.MonkeyPatch
) -> tuple[FileTransport, Callable[[Reply], None]]:
    def limits() -> FetchLimits:
        return LIMITS

    if place == "http":
        return HttpTransport(upstream.url, limits), lambda reply: upstream.script.update(
            {f"/{file.path}": reply}
        )
    if place == "s3":
        monkeypatch.setenv("AWS_ENDPOINT_URL", upstream.url.rstrip("/"))
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
        monkeypatch.setenv("AWS_REGION", "us-east-1")
        bucket = bucket_for("s3://bucket/prefix", limits, create=False)

        def send(reply: Reply) -> None:
            headers = {"Last-Modified": "Mon, 30 Nov 2026 10:00:00 GMT", "ETag": '"x"', **reply.headers}
            upstream.script[f"/bucket/prefix/{file.path}"] = reply._replace(headers=headers)

        return BucketTransport(bucket, limits), send

    def write(reply: Reply) -> None:
        path = store / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(reply.body[: reply.cut])

    return BucketTransport(bucket_for(store.as_uri(), limits, create=False), limits), write


def test_right_file_is_read(hostile: Hostile) -> None:
    hostile.send(Reply(body=hostile.file.right))
    if hostile.file.path.endswith(".exe"):
        # Its PDB is not there.
        assert hostile.reason(NotFound)
    else:
        assert hostile.read(hostile.source).startswith(b"MODULE ")


def test_absent_file_is_absent(hostile: Hostile) -> None:
    hostile.reason(NotFound)
    assert hostile.requests() <= MAX_REQUESTS[hostile.place]
    hostile.check_next_is_asked()


def test_search_for_a_download_makes_few_requests(hostile: Hostile) -> None:
    for file_type in hostile.source.served_types:
        before = hostile.requests()
        with pytest.raises(NotFound):
            hostile.source.locate(ServedFile(file_type, hostile.file.module))
        assert hostile.requests() - before <= MAX_REQUESTS_OF_A_DOWNLOAD[hostile.place]


def test_file_of_another_build_has_both_ids_in_its_reason(hostile: Hostile) -> None:
    hostile.send(Reply(body=hostile.file.other))
    assert re.search(
        r"that it has sent .*has the [a-zUID ]+ [-0-9A-Fa-f]+, not [0-9A-Fa-f]+$", hostile.reason(Malformed)
    )
    hostile.check_next_is_asked()


def test_other_content_is_no_such_file(hostile: Hostile) -> None:
    hostile.send(Reply(body=b"<html>please log in</html>"))
    assert re.search(r"is no [-\w]+ file$|must begin with MODULE", hostile.reason(Malformed))
    hostile.check_next_is_asked()


def test_file_that_is_cut_has_one_reason(hostile: Hostile) -> None:
    packed = gzip.compress(hostile.file.right)
    hostile.send(Reply(body=packed, cut=len(packed) - 9))
    if hostile.place == "directory":
        # Of a text, the conversion finds it.
        reason = hostile.reason(Malformed) if not hostile.is_text else ""
        assert reason in ("gzip data ends early", "")
    else:
        assert hostile.reason(Unavailable)


def test_file_over_the_limit_is_not_read(hostile: Hostile) -> None:
    hostile.send(Reply(body=bytes(LARGE)))
    assert f"more than {LIMITS.max_bytes} bytes" in hostile.reason(TooLarge)
    hostile.check_next_is_asked()


@pytest.mark.parametrize("hostile", SERVERS, indirect=True)
def test_body_without_an_end_stops_at_the_limit(hostile: Hostile) -> None:
    start = TEXT if hostile.is_text else b""
    endless = b"%x\r\n" % (8 << 20) + start + bytes((8 << 20) - len(start))
    hostile.send(Reply(body=endless, headers={"Transfer-Encoding": "chunked"}, length=False))
    # A bucket has the size of each object.
    hostile.reason(TooLarge if hostile.place == "http" else Unavailable)


def test_file_that_unpacks_to_too_much_stops_early(hostile: Hostile) -> None:
    hostile.send(Reply(body=gzip.compress(hostile.file.right + bytes((8 if hostile.is_text else 3) << 20))))
    if hostile.is_text:
        # The conversion has the same limit.
        with pytest.raises(TooLarge):
            hostile.read(hostile.source)
        return
    assert "20 times its packed size" in hostile.reason(TooLarge)
    hostile.check_next_is_asked()


# The address of a bucket is that of its cloud, which leads to no URL that the owner of an object has chosen.
@pytest.mark.parametrize("hostile", ["http"], indirect=True)
def test_redirect_to_a_private_address_is_refused(hostile: Hostile, monkeypatch: pytest.MonkeyPatch) -> None:
    # The server of this test is the only public one.
    for module in (addresses, http):
        monkeypatch.setattr(module, "is_public", lambda address: address == "127.0.0.1")
    hostile.send(Reply(302, headers={"Location": "http://10.1.2.3/secret"}))
    reason = hostile.reason(AccessDenied)
    assert reason == "refused: redirected to 10.1.2.3, which is no host of the public internet"
    hostile.check_next_is_asked()
