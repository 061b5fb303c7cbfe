"""What servers of native files may send: each has one clear reason, and no file stays."""

from __future__ import annotations

import errno
import gzip
import re
from collections.abc import Iterator
from functools import partial

import pytest
import stamina
import zstandard

from tecken.errors import (
    AccessDenied,
    IncompleteId,
    Malformed,
    NotAsked,
    NotFound,
    TeckenError,
    TooLarge,
    Unavailable,
)
from tecken.storage.port import NativeText, ServedFile, SymbolSource
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.native import NativeReader
from tecken.symbols.ids import ObjectId, debug_ids_of_code_id
from tecken.symbols.layouts import FileType
from tests.storage.upstreams.natives import (
    CODE,
    CODE_MODULE,
    DEBUG_INFO,
    ELF_MODULE,
    EXECUTABLE,
    LIMITS,
    PACKED_PDB,
    PDB,
    PDB_MODULE,
    Natives,
)
from tests.support.cabinets import MSZIP, QUANTUM, cabinet
from tests.support.http_upstream import HttpUpstream, Reply
from tests.upload.natives import (
    BUILD_ID,
    COMMON_BUILD_ID,
    DATA,
    DWZ_ID,
    ELF_ID,
    FRAMES_BUILD_ID,
    WINDOWS_ID,
    needs_rust,
)

pytest_plugins = ["tests.support.upstreams", "tests.storage.upstreams.spooled"]

ELF_FILE = (DATA / "libnative.so").read_bytes()
PDB_FILE = (DATA / "native.pdb").read_bytes()
MODULES = {"debuginfod": (ELF_MODULE, DEBUG_INFO), "symsrv": (PDB_MODULE, PDB)}
PARTS = ("debuginfo", "executable")
BOMB = ELF_FILE + bytes(3 << 20)


@pytest.fixture(autouse=True)
def _one_attempt() -> Iterator[None]:
    with stamina.set_testing(True, attempts=1):
        yield


def whole(source: SymbolSource, module: ObjectId) -> str:
    with source.open(module) as chunks:
        return b"".join(chunks).decode()


def reason(natives: Natives, source: SymbolSource, module: ObjectId, kind: type[TeckenError]) -> str:
    """Return why a module cannot be read, after no file of it has stayed."""
    with pytest.raises(kind) as raised:
        whole(source, module)
    assert natives.open_files() == []
    text = str(raised.value)
    # The address is in it once.
    assert len(re.findall(r"http://127\.0\.0\.1:\d+/", text)) == 1
    return re.sub(r"^http://127\.0\.0\.1:\d+/: ", "", text)


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_debuginfod_file_becomes_the_text_of_its_module(
    upstream: HttpUpstream, natives: Natives, pack: type[bytes]
) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=pack(ELF_FILE))
    text = whole(natives.make_debuginfod(), ELF_MODULE)
    assert text.startswith(f"MODULE Linux x86_64 {ELF_ID} libnative.so\n")
    assert re.search(r"^FUNC 13\w+ \w+ 0 steps", text, re.MULTILINE)
    assert natives.open_files() == []


@pytest.mark.parametrize("packed", [False, True])
def test_symsrv_file_becomes_the_text_of_its_module(
    upstream: HttpUpstream, natives: Natives, packed: bool
) -> None:
    path, body = (PACKED_PDB, cabinet(PDB_FILE, method=MSZIP)) if packed else (PDB, PDB_FILE)
    upstream.script[path] = Reply(body=body)
    text = whole(natives.make_symsrv(), PDB_MODULE)
    assert text.startswith(f"MODULE windows x86_64 {WINDOWS_ID} native.pdb\n")
    assert [request.path for request in upstream.requests] == [PDB, PACKED_PDB][: 1 + packed]
    assert natives.open_files() == []


def test_open_yields_native_text_without_reading_it(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    with natives.make_debuginfod().open(ELF_MODULE) as chunks:
        assert isinstance(chunks, NativeText)
        assert natives.open_files()
    assert natives.open_files() == []


@needs_rust
def test_open_yields_a_part_of_the_text_first(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    with natives.make_debuginfod().open(ELF_MODULE) as chunks:
        assert isinstance(chunks, NativeText)
        assert chunks.part
        assert b" steps" in b"".join(chunks.part([0x1335]))
        assert b" steps" in b"".join(chunks)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        ("frames.debug", f"the build id {FRAMES_BUILD_ID}, not {BUILD_ID}"),
        ("without-id.so", f"the build id none, not {BUILD_ID}"),
        ("native.pdb", "the file that it has sent is no ELF file"),
        ("fat.dylib", "the file that it has sent is no ELF file"),
    ],
)
def test_debuginfod_other_file_is_refused_with_its_id(
    upstream: HttpUpstream, natives: Natives, sent: str, expected: str
) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=(DATA / sent).read_bytes())
    assert expected in reason(natives, natives.make_debuginfod(), ELF_MODULE, Malformed)


@pytest.mark.parametrize("packed", [False, True])
def test_symsrv_other_file_is_refused_with_its_id(
    upstream: HttpUpstream, natives: Natives, packed: bool
) -> None:
    other = (DATA / "unwind.pdb").read_bytes()
    upstream.script[PDB] = Reply(body=cabinet(other) if packed else other)
    why = reason(natives, natives.make_symsrv(), PDB_MODULE, Malformed)
    assert re.fullmatch(rf"the PDB file that it has sent has the debug id \w+, not {WINDOWS_ID}", why)
    upstream.script[PDB] = Reply(body=b"Symbol Not Found")
    assert reason(natives, natives.make_symsrv(), PDB_MODULE, Malformed) == (
        "the file that it has sent is no PDB file"
    )


@pytest.mark.parametrize("kind", MODULES)
def test_file_that_is_cut_has_one_reason(upstream: HttpUpstream, natives: Natives, kind: str) -> None:
    module, path = MODULES[kind]
    source = natives.make_debuginfod() if kind == "debuginfod" else natives.make_symsrv()
    body = ELF_FILE if kind == "debuginfod" else PDB_FILE
    upstream.script[path] = Reply(body=body, cut=len(body) - 1)
    assert "without sending complete message body" in reason(natives, source, module, Unavailable)
    # Nothing in the response says that there was more.
    upstream.script[path] = Reply(body=body[: len(body) // 2])
    assert reason(natives, source, module, Malformed)
    upstream.script[path] = Reply(body=gzip.compress(body)[:-9])
    assert reason(natives, source, module, Malformed) == "gzip data ends early"


@pytest.mark.parametrize("kind", MODULES)
def test_file_without_an_end_stops_at_the_limit(upstream: HttpUpstream, natives: Natives, kind: str) -> None:
    module, path = MODULES[kind]
    limits = LIMITS._replace(max_bytes=1 << 20)
    source = (natives.make_debuginfod if kind == "debuginfod" else natives.make_symsrv)(limits=limits)
    endless = b"%x\r\n" % (8 << 20) + bytes(8 << 20)
    upstream.script[path] = Reply(body=endless, headers={"Transfer-Encoding": "chunked"}, length=False)
    assert "more than 1048576 bytes" in reason(natives, source, module, TooLarge)
    upstream.script[path] = Reply(body=bytes((1 << 20) + 1))
    assert "more than 1048576 bytes" in reason(natives, source, module, TooLarge)
    limits = LIMITS._replace(deadline=0.3)
    source = (natives.make_debuginfod if kind == "debuginfod" else natives.make_symsrv)(limits=limits)
    upstream.script[path] = Reply(body=b"x" * 1_000_000, drip=0.01)
    assert "no answer in time" in reason(natives, source, module, Unavailable)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress])
def test_file_that_unpacks_to_too_much_stops_at_the_ratio(
    upstream: HttpUpstream, natives: Natives, pack: type[bytes]
) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=pack(BOMB))
    why = reason(natives, natives.make_debuginfod(), ELF_MODULE, TooLarge)
    assert why == "the file has more than 20 times its packed size"


def test_file_that_unpacks_to_too_much_stops_at_the_limit(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=gzip.compress(ELF_FILE))
    source = natives.make_debuginfod(limits=LIMITS._replace(max_bytes=len(ELF_FILE) - 1))
    assert "longer than 3767 bytes" in reason(natives, source, ELF_MODULE, TooLarge)


@pytest.mark.parametrize(
    ("packed", "kind", "expected"),
    [
        (cabinet(PDB_FILE + bytes(3 << 20)), TooLarge, "the file in it has more than 20 times its size"),
        (cabinet(PDB_FILE, size=5 << 20), Malformed, "contradict"),
        (cabinet(PDB_FILE, size=len(PDB_FILE) - 1), Malformed, "the file ends before"),
        (cabinet(PDB_FILE, damage=1), Malformed, "hecksum"),
        (cabinet(PDB_FILE, method=QUANTUM), Malformed, "Quantum"),
        (cabinet(PDB_FILE, files=2), Malformed, "2 files"),
        (cabinet(cabinet(PDB_FILE)), Malformed, "no PDB file"),
        (cabinet(PDB_FILE)[:-1000], Malformed, ""),
        (gzip.compress(cabinet(bytes(3 << 20))), TooLarge, "the file in it has more than 20 times its size"),
    ],
)
def test_symsrv_cabinet_that_cannot_be_unpacked_has_one_reason(
    upstream: HttpUpstream, natives: Natives, packed: bytes, kind: type[TeckenError], expected: str
) -> None:
    upstream.script[PACKED_PDB] = Reply(body=packed)
    assert expected in reason(natives, natives.make_symsrv(), PDB_MODULE, kind)


def test_symsrv_cabinet_over_the_limit_is_not_unpacked(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[PACKED_PDB] = Reply(body=cabinet(PDB_FILE))
    source = natives.make_symsrv(limits=LIMITS._replace(max_bytes=len(PDB_FILE) - 1))
    assert "at most 73727" in reason(natives, source, PDB_MODULE, TooLarge)


def test_redirect_to_a_public_upstream_of_files_is_followed(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[DEBUG_INFO] = Reply(302, headers={"Location": "/elsewhere"})
    upstream.script["/elsewhere"] = Reply(body=ELF_FILE)
    assert whole(natives.make_debuginfod(), ELF_MODULE)


def test_file_that_the_engine_refuses_has_the_name_of_its_upstream(
    upstream: HttpUpstream, natives: Natives
) -> None:
    broken = bytearray(PDB_FILE)
    # The streams after the first ones, which identify the file.
    broken[20_000:60_000] = b"\xff" * 40_000
    upstream.script[PDB] = Reply(body=bytes(broken))
    assert reason(natives, natives.make_symsrv(), PDB_MODULE, Malformed)


def test_full_disk_is_unavailable_and_nothing_is_fetched(upstream: HttpUpstream, natives: Natives) -> None:
    def check_disk() -> None:
        raise Unavailable("the disk of temporary files is full", 60.0)

    upstream.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    with pytest.raises(Unavailable, match="is full"):
        whole(natives.make_debuginfod(check_disk=check_disk), ELF_MODULE)
    assert upstream.requests == []


def test_disk_that_fills_up_is_unavailable(
    upstream: HttpUpstream, natives: Natives, monkeypatch: pytest.MonkeyPatch
) -> None:
    def receive(*_arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(NativeReader, "_receive", receive)
    with pytest.raises(Unavailable, match="No space left"):
        whole(natives.make_debuginfod(), ELF_MODULE)
    assert natives.open_files() == []


def test_without_an_engine_nothing_is_fetched(
    upstream: HttpUpstream, natives: Natives, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.storage.upstreams.natives.find_engine", lambda: None)
    for source, module in ((natives.make_debuginfod(), ELF_MODULE), (natives.make_symsrv(), PDB_MODULE)):
        assert "no engine" in reason(natives, source, module, NotAsked)
    assert upstream.requests == []


# Which files are asked for


@pytest.mark.parametrize("name", ["libnative.so", "libc.so.6", "native.dll", "native.exe", "XUL", "x.sym"])
def test_symsrv_is_asked_for_debug_ids_of_pdb_files_only(
    upstream: HttpUpstream, natives: Natives, name: str
) -> None:
    module = ObjectId(name, WINDOWS_ID)
    assert "not asked" in reason(natives, natives.make_symsrv(), module, NotAsked)
    assert upstream.requests == []


def test_symsrv_is_not_asked_for_a_pdb_of_version_2(upstream: HttpUpstream, natives: Natives) -> None:
    reason(natives, natives.make_symsrv(), ObjectId("native.pdb", "3A5B7C9D1"), NotAsked)
    assert upstream.requests == []


@pytest.mark.parametrize(
    "module",
    [
        ObjectId("native.pdb", ELF_ID),
        ObjectId("ntdll.dll", BUILD_ID.upper()),
        ObjectId("libSystem.dylib", ELF_ID),
        ObjectId("native.wasm", ELF_ID),
        ObjectId("libnative.so", f"{ELF_ID[:-1]}1"),
        ObjectId("libnative.so", f"{ELF_ID}0"),
        ObjectId("libnative.so", "5D8A5E191F0000"),
    ],
)
def test_debuginfod_is_asked_for_elf_files_only(
    upstream: HttpUpstream, natives: Natives, module: ObjectId
) -> None:
    assert "not asked" in reason(natives, natives.make_debuginfod(), module, NotAsked)
    assert upstream.requests == []


def test_debuginfod_without_the_whole_build_id_says_what_to_send(
    upstream: HttpUpstream, natives: Natives
) -> None:
    source = natives.make_debuginfod()
    source._find_build_ids = lambda _debug_id: []
    assert "send it as code_id" in reason(natives, source, ELF_MODULE, IncompleteId)
    assert upstream.requests == []


def test_debuginfod_whole_build_id_in_place_of_the_debug_id_is_used(
    upstream: HttpUpstream, natives: Natives
) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    source = natives.make_debuginfod()
    source._find_build_ids = lambda _debug_id: []
    assert whole(source, ObjectId("libnative.so", BUILD_ID.upper())).startswith("MODULE")


def test_debuginfod_short_build_id_needs_no_other_source(upstream: HttpUpstream, natives: Natives) -> None:
    (debug_id,) = debug_ids_of_code_id("0123456789abcdef")
    with pytest.raises(NotFound):
        whole(natives.make_debuginfod("f" * 40), ObjectId("x", debug_id))
    assert upstream.requests[0].path == "/buildid/0123456789abcdef/debuginfo"


def test_debuginfod_tries_each_build_id_and_the_executable_last(
    upstream: HttpUpstream, natives: Natives
) -> None:
    wrong = f"{BUILD_ID[:32]}{'0' * 8}"
    upstream.script[EXECUTABLE] = Reply(body=(DATA / "symbols.so").read_bytes())
    text = whole(natives.make_debuginfod(wrong, BUILD_ID), ELF_MODULE)
    assert text.startswith(f"MODULE Linux x86_64 {ELF_ID} libnative.so\n")
    paths = [
        f"/buildid/{some_id}/{part}" for some_id in (wrong, BUILD_ID) for part in ("debuginfo", "executable")
    ]
    assert [request.path for request in upstream.requests] == paths


def test_all_fetches_of_a_module_have_one_deadline(
    upstream: HttpUpstream, natives: Natives, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = []
    fetch = NativeReader.fetch

    def noted(reader: NativeReader, path: str, file_type: FileType, some_id: str, ends: float) -> object:
        deadlines.append(ends)
        return fetch(reader, path, file_type, some_id, ends)

    monkeypatch.setattr(NativeReader, "fetch", noted)
    with pytest.raises(NotFound):
        whole(natives.make_debuginfod(*(f"{BUILD_ID[:32]}{end:08}" for end in range(4))), ELF_MODULE)
    assert len(deadlines) == 8
    assert len({*deadlines}) == 1


def test_search_for_a_download_has_one_deadline(
    upstream: HttpUpstream, natives: Natives, monkeypatch: pytest.MonkeyPatch
) -> None:
    deadlines = []
    check = HttpTransport.check

    def noted(transport: HttpTransport, path: str, hops: int, ends: float) -> None:
        deadlines.append(ends)
        check(transport, path, hops, ends)

    monkeypatch.setattr(HttpTransport, "check", noted)
    unified = natives.make("unified", *(f"{BUILD_ID[:32]}{end:08}" for end in range(4)))
    with pytest.raises(NotFound):
        unified.locate(ServedFile(FileType.SYMBOL_FILE, ELF_MODULE))
    assert len(deadlines) == len(upstream.requests) == 4
    assert len({*deadlines}) == 1


def test_fetch_after_the_deadline_is_unavailable(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[DEBUG_INFO] = Reply(body=ELF_FILE)
    source = natives.make_debuginfod(limits=LIMITS._replace(deadline=0.0))
    assert "no answer in time" in reason(natives, source, ELF_MODULE, Unavailable)
    assert upstream.requests == []


def test_symsrv_program_in_a_cabinet_is_read(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script |= {f"{CODE[:-1]}_": Reply(body=cabinet(PROGRAM)), PDB: Reply(body=PDB_FILE)}
    assert whole(natives.make_symsrv(), CODE_MODULE).startswith("MODULE windows")


PROGRAM = (DATA / "native.exe").read_bytes()


def test_symsrv_code_id_leads_to_the_pdb(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script |= {CODE: Reply(body=PROGRAM), PDB: Reply(body=PDB_FILE)}
    text = whole(natives.make_symsrv(), CODE_MODULE)
    assert text.startswith(
        f"MODULE windows x86_64 {WINDOWS_ID} native.pdb\nINFO CODE_ID CF9A71C03000 native.exe\n"
    )
    assert [request.path for request in upstream.requests] == [CODE, PDB]
    assert natives.open_files() == []


def test_symsrv_path_of_a_code_id_has_both_cases(upstream: HttpUpstream, natives: Natives) -> None:
    reason(natives, natives.make_symsrv(), ObjectId("NTDLL.dll", "5D8A5E191AB000"), NotFound)
    assert upstream.requests[0].path == "/NTDLL.dll/5D8A5E191ab000/NTDLL.dll"


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (
            (DATA / "unwind.exe").read_bytes(),
            "the PE file that it has sent has the code id CD6F5F244000, not CF9A71C03000",
        ),
        (PDB_FILE, "the file that it has sent is no PE file"),
        (PROGRAM.replace(b"native.pdb", b"..\0tive.pdb"), "names no PDB: debug file name has"),
        (PROGRAM[:1000], ""),
    ],
)
def test_symsrv_other_program_is_refused(
    upstream: HttpUpstream, natives: Natives, body: bytes, expected: str
) -> None:
    upstream.script[CODE] = Reply(body=body)
    assert expected in reason(natives, natives.make_symsrv(), CODE_MODULE, Malformed)
    assert len(upstream.requests) == 1


def test_symsrv_program_without_its_pdb_is_absent(upstream: HttpUpstream, natives: Natives) -> None:
    upstream.script[CODE] = Reply(body=PROGRAM)
    assert "404" in reason(natives, natives.make_symsrv(), CODE_MODULE, NotFound)


def test_debuginfod_that_has_no_file_is_absent(upstream: HttpUpstream, natives: Natives) -> None:
    assert "404" in reason(natives, natives.make_debuginfod(), ELF_MODULE, NotFound)
    assert "404" in reason(natives, natives.make_symsrv(), PDB_MODULE, NotFound)


def test_refused_file_does_not_hide_the_next(upstream: HttpUpstream, natives: Natives) -> None:
    """Buckets refuse files that they do not have to clients that may not list them."""
    upstream.script |= {PDB: Reply(403), DEBUG_INFO: Reply(403)}
    assert "refused: 403" in reason(natives, natives.make_symsrv(), PDB_MODULE, AccessDenied)
    assert "refused: 403" in reason(natives, natives.make_debuginfod(), ELF_MODULE, AccessDenied)
    upstream.script |= {PACKED_PDB: Reply(body=cabinet(PDB_FILE)), EXECUTABLE: Reply(body=ELF_FILE)}
    assert whole(natives.make_symsrv(), PDB_MODULE)
    assert whole(natives.make_debuginfod(), ELF_MODULE)


ONE = (DATA / "one.so").read_bytes()


@needs_rust
@pytest.mark.parametrize(
    ("common", "file"),
    [
        ("common.debug", "/build/src/native.c"),
        ("frames.debug", "src/native.c"),
        (None, "src/native.c"),
    ],
)
def test_debuginfod_common_file_is_fetched_too(
    upstream: HttpUpstream, natives: Natives, common: str | None, file: str
) -> None:
    """Without it, or with another one, the file is of use all the same."""
    build_id = one_build_id()
    upstream.script[f"/buildid/{build_id}/debuginfo"] = Reply(body=ONE)
    if common:
        body = (DATA / common).read_bytes()
        upstream.script[f"/buildid/{COMMON_BUILD_ID}/debuginfo"] = Reply(body=body)
    text = whole(natives.make_debuginfod(build_id), ObjectId("one.so", DWZ_ID))
    assert re.search(rf"^FILE \d+ {re.escape(file)}$", text, re.MULTILINE)
    assert natives.open_files() == []
    assert upstream.requests[-1].path == f"/buildid/{COMMON_BUILD_ID}/debuginfo"


def one_build_id() -> str:
    start = ONE.index(b"\x04\0\0\0\x14\0\0\0\x03\0\0\0GNU\0") + 16
    return ONE[start : start + 20].hex()


def test_debuginfod_unavailable_common_file_is_tried_again(upstream: HttpUpstream, natives: Natives) -> None:
    build_id = one_build_id()
    upstream.script[f"/buildid/{build_id}/debuginfo"] = Reply(body=ONE)
    upstream.script[f"/buildid/{COMMON_BUILD_ID}/debuginfo"] = Reply(500)
    with pytest.raises(Unavailable):
        whole(natives.make_debuginfod(build_id), ObjectId("one.so", DWZ_ID))
    assert natives.open_files() == []


def test_close_ends_the_connections(upstream: HttpUpstream, natives: Natives) -> None:
    for make in (natives.make_debuginfod, partial(natives.make_symsrv)):
        make().close()
