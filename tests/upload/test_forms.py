"""Each form of an upload over HTTP: archives of every kind, flat or as a symbol store, and single files."""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tecken.storage.models import SymbolFile
from tecken.storage.native import find_parents
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey
from tecken.tasks import keep_upload
from tecken.upload.models import Upload
from tests.support.options import Override
from tests.upload.tars import PACKERS, entry, header, package, tarred
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader, stored
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

DATA = Path(__file__).parents[1] / "data" / "native"
ELF_ID = "52F29A25810178511980D12EF214D9FA0"
BUILD_ID = "259af252018151781980d12ef214d9fab5fe9d52"
WINDOWS_ID = "00AA3880D78BE4BB4C4C44205044422E1"
INTEL_ID = "4C4C44CC55553144A19875D9B8EAD5440"
ARM_ID = "4C4C440055553144A1A3693FB126F9380"
ELF_KEY = FileKey("libnative.so", ELF_ID, "libnative.so")


def native(name: str) -> bytes:
    return (DATA / name).read_bytes()


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def send(who: Uploader, content: bytes, name: str, query: str = "") -> Any:
    file = io.BytesIO(content)
    file.name = name
    return who.client.post(f"/upload/{query}", {name: file})


def upload(who: Uploader, content: bytes, name: str = "symbols.tar") -> dict[str, Any]:
    reply = send(who, content, name)
    assert reply.status_code == 201, reply.content
    found: dict[str, Any] = reply.json()["upload"]
    return found


def error(who: Uploader, content: bytes, name: str = "symbols.tar") -> tuple[int, str]:
    reply = send(who, content, name)
    return reply.status_code, reply.json()["error"]


def keys() -> list[str]:
    return sorted(SymbolFile.objects.values_list("key", flat=True))


def reasons(answer: Mapping[str, Any]) -> dict[str, str]:
    """Return the reason for each file that is not stored."""
    found = {w["key"]: w["message"] for w in answer["warnings"] if w.get("stored") is False}
    assert set(found) <= set(answer["ignored_keys"])
    return found


# Archives


def test_upload_alpine_package_stores_its_native_files(builder: Uploader) -> None:
    """It has a tar archive of the signature and one of the control file, both cut, and one of the files."""
    parts = ({".SIGN.RSA.key.pub": b"odd"}, {".PKGINFO": b"pkgname = native\n"})
    cut = [gzip.compress(tarred(part)[:1024]) for part in parts]
    files = gzip.compress(tarred({"usr/lib/debug/usr/lib/libnative.so.debug": native("libnative.so.debug")}))
    answer = upload(builder, b"".join([*cut, files]), "native-dbg-1.0-r0.apk")
    assert keys() == [f"v1/{ELF_KEY._replace(file_name='libnative.so.debug')}"]
    assert sorted(reasons(answer)) == [".PKGINFO", ".SIGN.RSA.key.pub"]


KINDS: dict[str, Callable[[Mapping[str, bytes]], bytes]] = {
    "zip": zipped,
    "stored.zip": lambda files: zipped(files, zipfile.ZIP_STORED),
    "tar": tarred,
    "gnu.tar": lambda files: tarred(files, tarfile.GNU_FORMAT),
    "tar.gz": lambda files: gzip.compress(tarred(files)),
    "tar.zst": lambda files: PACKERS[".zst"](tarred(files)),
    "tar.xz": lambda files: PACKERS[".xz"](tarred(files)),
    "deb": lambda files: package(PACKERS[".xz"](tarred(files))),
    "zst.deb": lambda files: package(PACKERS[".zst"](tarred(files)), b"data.tar.zst"),
    "plain.deb": lambda files: package(tarred(files), b"data.tar"),
}


@pytest.mark.parametrize("kind", KINDS)
def test_upload_archive_of_each_kind_is_recognised_by_its_content(builder: Uploader, kind: str) -> None:
    """One archive has a symbol store, flat files, files to ignore, and a name that needs a long header."""
    long_name = f"{'y' * 90}/{'z' * 90}/native.pdb"
    files = {
        f"./{SYM_KEY}": SYM,
        "usr/lib/libnative.so": native("libnative.so"),
        long_name: native("native.pdb"),
        "README": b"read me",
        ".DS_Store": b"x",
    }
    answer = upload(builder, KINDS[kind](files), "any name")
    assert (stored(SYM_KEY), stored(ELF_KEY)) == (SYM, native("libnative.so"))
    assert keys() == [f"v1/{SYM_KEY}", f"v1/{ELF_KEY}", f"v1/native.pdb/{WINDOWS_ID}/native.pdb"]
    assert sorted(answer["ignored_keys"]) == [".DS_Store", "README"]
    assert reasons(answer) == {"README": "not stored: it is of no known format"}
    assert (answer["members_total"], answer["members_done"]) == (3, 3)


def test_upload_flat_files_have_the_ids_and_names_of_their_contents(builder: Uploader) -> None:
    files = {
        "out/any.sym": SYM,
        "out/native.exe": native("native.exe"),
        "out/native.pdb": native("native.pdb"),
        "out/libnative.so.debug": native("libnative.so.debug"),
        "out/app.wasm": native("native.wasm"),
        "out/x.dSYM/Contents/Info.plist": b"<plist/>",
        "out/x.dSYM/Contents/Resources/DWARF/x": native("intel.dwarf"),
        "out/x": native("intel.dylib"),
    }
    answer = upload(builder, zipped(files), "symbols.zip")
    wasm = SymbolFile.objects.get(format="wasm").debug_id
    code_id = SymbolFile.objects.filter(format="pe").values_list("code_id", flat=True)[0]
    assert keys() == sorted(
        f"v1/{key}"
        for key in (
            SYM_KEY,
            f"native.pdb/{WINDOWS_ID}/native.exe",
            f"native.exe/{code_id}/native.exe",
            f"native.pdb/{WINDOWS_ID}/native.pdb",
            f"libnative.so/{ELF_ID}/libnative.so.debug",
            f"app.wasm/{wasm}/app.wasm",
            f"x/{INTEL_ID}/x.dSYM",
            f"x/{INTEL_ID}/x",
        )
    )
    assert answer["ignored_keys"] == ["out/x.dSYM/Contents/Info.plist"]
    assert reasons(answer) == {}


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("libnative.so.1.debug", "libnative.so.1/{}/libnative.so.1.debug"),
        (f"usr/lib/debug/.build-id/25/{BUILD_ID[2:]}.debug", f"{BUILD_ID}/{{}}/{BUILD_ID}.debug"),
        (f".build-id/25/{BUILD_ID[2:]}.debug", f"{BUILD_ID}/{{}}/{BUILD_ID}.debug"),
        ("usr/lib/debug/usr/lib/libnative.so", "libnative.so/{}/libnative.so.debug"),
        ("x.dbg", "x/{}/x.dbg"),
        ("lib/db/libnative.so", "libnative.so/{}/libnative.so"),
    ],
)
def test_upload_debug_file_of_an_elf_file_is_named_by_its_path(
    builder: Uploader, path: str, key: str
) -> None:
    upload(builder, tarred({path: native("libnative.so.debug")}))
    assert keys() == [f"v1/{key.format(ELF_ID)}"]
    assert SymbolFile.objects.get().build_id == BUILD_ID


def test_upload_without_an_id_or_a_format_has_a_reason_for_each_file(builder: Uploader) -> None:
    files = {
        str(SYM_KEY): SYM,
        "out/without-id.wasm": native("without-id.wasm"),
        "out/cut.so": native("libnative.so")[:400],
        "out/bad.sym": b"no symbols",
        "out/x.so.gz": gzip.compress(native("libnative.so")),
        "out/libnative.sym": native("libnative.so"),
        "out/empty": b"",
    }
    answer = upload(builder, zipped(files), "symbols.zip")
    assert keys() == [f"v1/{SYM_KEY}"]
    found = reasons(answer)
    assert set(found) == set(files) - {str(SYM_KEY)}
    for name, text in (
        ("out/without-id.wasm", "it has no build_id section"),
        ("out/cut.so", "it cannot be identified"),
        ("out/bad.sym", "no symbol file, though its name ends in .sym"),
        ("out/x.so.gz", "it is compressed"),
        ("out/libnative.sym", "no symbol file, though"),
        ("out/empty", "no known format"),
    ):
        assert text in found[name]
    page = builder.client.get(f"/api/uploads/upload/{answer['id']}").json()
    assert page["warnings"] == answer["warnings"]


def test_upload_of_nothing_that_can_be_stored_is_400_with_the_reason(builder: Uploader) -> None:
    status, text = error(builder, zipped({"odd": b"x"}), "symbols.zip")
    assert (status, text.startswith("Unrecognized file pattern. Should only be <module>/")) == (400, True)
    assert "(First unrecognized pattern was odd)" in text
    status, text = error(builder, tarred({"x.wasm": native("without-id.wasm")}))
    assert (status, "x.wasm: not stored: it has no build_id section" in text) == (400, True)
    assert keys() == []


def test_upload_packed_file_in_a_deeper_store_has_the_key_of_its_path(builder: Uploader) -> None:
    upload(builder, tarred({f"a/b/xul.pdb/{WINDOWS_ID}/xul.pd_": b"MSCF and so on", "c/README": b""}))
    assert keys() == [f"v1/xul.pdb/{WINDOWS_ID}/xul.pd_"]


def test_upload_store_path_with_another_id_is_stored_with_a_warning(builder: Uploader) -> None:
    other = ELF_KEY._replace(debug_id="A" * 33)
    answer = upload(builder, tarred({str(other): native("libnative.so")}))
    assert keys() == [f"v1/{other}"]
    assert "is of another build" in answer["warnings"][0]["message"]


def test_upload_two_files_with_one_key_stores_the_one_with_more_information(builder: Uploader) -> None:
    files = {"a/libnative.so": native("stripped.so"), "b/libnative.so": native("libnative.so")}
    answer = upload(builder, tarred({**files, "c/libnative.so": files["b/libnative.so"]}))
    assert stored(ELF_KEY) == files["b/libnative.so"]
    assert "b/libnative.so has the same name and id" in reasons(answer)["a/libnative.so"]
    assert answer["ignored_keys"] == ["a/libnative.so"]


@pytest.mark.parametrize("name", ["bin/native", f"native/{ARM_ID}/native"])
def test_upload_fat_file_is_found_by_the_id_of_each_object(builder: Uploader, name: str) -> None:
    answer = upload(builder, tarred({name: native("fat.dylib")}))
    for debug_id in (INTEL_ID, ARM_ID):
        assert stored(FileKey("native", debug_id, "native")) == native("fat.dylib")
        assert find_parents(ObjectId("native", debug_id)).main.key.debug_id == debug_id
    assert sorted(SymbolFile.objects.values_list("arch", flat=True)) == ["arm64", "x86_64"]
    assert (answer["members_total"], answer["members_done"]) == (2, 2)


def test_upload_async_of_a_compressed_tar_is_stored_by_a_worker(builder: Uploader) -> None:
    archive = gzip.compress(tarred({"lib/libnative.so": native("libnative.so"), "README": b"x"}))
    assert send(builder, archive, "symbols.tar.gz", "?async=1").status_code == 202
    row = Upload.objects.get()
    keep_upload(row.pk)
    keep_upload(row.pk)
    row.refresh_from_db()
    assert row.completed_at
    assert (row.ignored_keys, len(row.warnings)) == (["README"], 2)
    assert keys() == [f"v1/{ELF_KEY}"]


# Single files


@pytest.mark.parametrize("packing", ["", ".gz", ".zst", ".xz"])
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("any.sym", SYM, str(SYM_KEY)),
        ("libnative.so", native("libnative.so"), str(ELF_KEY)),
        ("native.pdb", native("native.pdb"), f"native.pdb/{WINDOWS_ID}/native.pdb"),
        ("native", native("intel.dylib"), f"native/{INTEL_ID}/native"),
    ],
)
def test_upload_single_file_is_stored_below_its_id(
    builder: Uploader, name: str, content: bytes, expected: str, packing: str
) -> None:
    answer = upload(builder, PACKERS[packing](content), name + packing)
    assert keys() == [f"v1/{expected}"]
    assert stored(FileKey(*expected.split("/"))) == content
    assert answer["filename"] == name + packing


@pytest.mark.parametrize("kind", ["application/octet-stream", "text/plain", "application/gzip"])
def test_upload_body_may_be_the_file_itself(builder: Uploader, kind: str) -> None:
    body = gzip.compress(native("libnative.so"))
    reply = builder.client.post("/upload/?name=../libnative.so.gz", body, content_type=kind)
    assert reply.status_code == 201, reply.content
    assert keys() == [f"v1/{ELF_KEY}"]


def test_upload_body_without_a_name_is_named_after_its_build_id(builder: Uploader) -> None:
    reply = builder.client.post("/upload/", native("libnative.so"), content_type="application/octet-stream")
    assert reply.status_code == 201, reply.content
    assert keys() == [f"v1/{BUILD_ID}/{ELF_ID}/{BUILD_ID}"]
    assert builder.client.post("/upload/", SYM, content_type="text/plain").status_code == 201


def test_upload_field_file_has_the_name_of_the_file(builder: Uploader) -> None:
    file = io.BytesIO(native("libnative.so"))
    file.name = "libnative.so"
    assert builder.client.post("/upload/", {"file": file}).status_code == 201
    assert keys() == [f"v1/{ELF_KEY}"]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (native("libnative.so")[:400], "x.so cannot be identified"),
        (gzip.compress(SYM)[:-9], "cannot be unpacked: gzip data ends early"),
        (b"!<arch>\nlib.o/ and so on", "File is not a Debian package"),
        (package(b"odd"), "its data.tar is no tar archive"),
        (b"MODULE", "nor a symbol file of a known format"),
    ],
    ids=range(5),
)
def test_upload_broken_file_is_400_with_the_reason(builder: Uploader, content: bytes, text: str) -> None:
    status, found = error(builder, content, "x.so")
    assert (status, text in found) == (400, True), found
    assert not Upload.objects.exists()


# Hostile archives


def test_upload_links_and_special_files_of_a_tar_are_left_out_with_a_reason(builder: Uploader) -> None:
    archive = tarred(
        [
            ("lib/libnative.so", native("libnative.so")),
            (entry("lib/link.so", tarfile.SYMTYPE, "/etc/passwd"), b""),
            (entry("lib/hard.so", tarfile.LNKTYPE, "lib/libnative.so"), b""),
            (entry("dev/null", tarfile.CHRTYPE), b""),
            (entry("lib", tarfile.DIRTYPE), b""),
        ]
    )
    answer = upload(builder, archive)
    found = reasons(answer)
    assert [found[name].split(":")[1] for name in ("lib/link.so", "lib/hard.so")] == [" it is a link"] * 2
    assert found["dev/null"] == "not stored: it is a special file"
    assert keys() == [f"v1/{ELF_KEY}"]


def test_upload_sparse_file_of_a_tar_is_left_out_with_a_reason(builder: Uploader) -> None:
    old = header("old.so", 512, tarfile.GNUTYPE_SPARSE)
    new = entry("new.so", tarfile.REGTYPE)
    new.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}
    archive = old + bytes(512) + tarred([(new, b"1\n"), ("lib/libnative.so", native("libnative.so"))])
    found = reasons(upload(builder, archive))
    assert set(found) == {"old.so", "new.so"}
    assert all("sparse" in text for text in found.values())
    assert keys() == [f"v1/{ELF_KEY}"]


@pytest.mark.parametrize(
    "name", ["../x.so", "/x.so", "a/../../x.so", "C:\\x.so", "a\\..\\..\\x.so", "vendor/qcom/proprietary/x"]
)
def test_upload_tar_path_that_leads_elsewhere_is_refused(builder: Uploader, name: str) -> None:
    status, text = error(builder, tarred({name: native("libnative.so")}))
    assert (status, text.startswith(("Unrecognized file pattern", "Content of archive"))) == (400, True)
    assert not Upload.objects.exists()


@pytest.mark.parametrize(
    ("archive", "text"),
    [
        (tarred({"x": b"x" * 9000})[:1000], "The archive ends early, in x"),
        (header("x", 10 << 30), "The archive ends early, in x"),
        (tarred({"x": b"x"})[:1024] + b"junk" * 128, "broken header at 1024"),
        (tarred({"x": b"x"})[:1024] + b"junk", "The archive ends early"),
        (header("x", -512), "a file of -512 bytes"),
        (header("p", 8, tarfile.XHDTYPE) + b"99 path=".ljust(512, b"\0"), "broken extended header"),
        (header("p", 8, tarfile.XHDTYPE) + b"junk\n".ljust(512, b"\0"), "broken extended header"),
        (tarred({}), "neither an archive"),
        (tarred([(entry("lib", tarfile.DIRTYPE), b"")]), "The archive has no files"),
        (gzip.compress(tarred({"x": b"x" * 9000}))[:-20], "cannot be unpacked: gzip data ends early"),
        (
            tarred([(str(SYM_KEY), SYM), (str(SYM_KEY), SYM[:-1])]),
            "The archive contains two files both called",
        ),
        (
            tarred([(str(SYM_KEY), SYM), (str(SYM_KEY), SYM[:-1] + b"!")]),
            "they have different content",
        ),
    ],
    ids=range(12),
)
def test_upload_broken_tar_is_400_with_the_reason(builder: Uploader, archive: bytes, text: str) -> None:
    status, found = error(builder, archive, "x")
    assert (status, text in found) == (400, True), found
    assert not Upload.objects.exists()


def test_upload_same_file_twice_in_a_tar_is_stored_once(builder: Uploader) -> None:
    answer = upload(builder, tarred([(str(SYM_KEY), SYM), (str(SYM_KEY), SYM)]))
    assert (keys(), answer["warnings"]) == ([f"v1/{SYM_KEY}"], [])


@pytest.mark.parametrize(
    ("archive", "limits", "text"),
    [
        (
            tarred({f"{n}.txt": b"" for n in range(11)}),
            {"upload_max_members": 10},
            "has 11 files, at most 10",
        ),
        (
            b"".join(header("g", 0, tarfile.XGLTYPE) for _ in range(50)) + tarred({"x": b""}),
            {"upload_max_members": 10},
            "more than 10 files",
        ),
        (tarred({"x": bytes(2000)}), {"symbol_max_bytes": 1999}, "x has 2000 bytes, at most 1999"),
        (
            tarred({"x": bytes(2000), "y": bytes(2000)}),
            {"upload_max_unpacked_bytes": 3999},
            "unpacks to 4000 bytes, at most 3999",
        ),
        (gzip.compress(tarred({"x": bytes(9 << 20)})), {}, "to more than 200 times its size"),
        (gzip.compress(bytes(9 << 20)), {}, "to more than 200 times its size"),
        (PACKERS[".zst"](bytes(9 << 20)), {}, "to more than 200 times its size"),
        (PACKERS[".xz"](bytes(9 << 20)), {}, "to more than 200 times its size"),
        (package(PACKERS[".xz"](bytes(9 << 20))), {}, "to more than 200 times its size"),
        (
            gzip.compress(tarred({"x": bytes(20_000)})),
            {"upload_max_unpacked_bytes": 9_999},
            "unpacks to more than 9999 bytes",
        ),
        (header("L", 1 << 20, tarfile.GNUTYPE_LONGNAME) + bytes(1 << 20), {}, "a header of 1048576 bytes"),
        (
            (header("L", 60_000, tarfile.GNUTYPE_LONGNAME) + b"n" * 60_416) * 4 + header("x", 0),
            {"upload_max_members": 200},
            "names and extended headers of the archive have more than",
        ),
    ],
    ids=range(12),
)
def test_upload_archive_over_a_limit_is_413(
    builder: Uploader, runtime_options: Override, archive: bytes, limits: dict[str, int], text: str
) -> None:
    runtime_options(**limits)
    status, found = error(builder, archive)
    assert (status, text in found) == (413, True), found
    assert not Upload.objects.exists()


def test_upload_tar_within_a_tar_is_not_unpacked(builder: Uploader) -> None:
    inner = tarred({"libnative.so": native("libnative.so")})
    answer = upload(builder, tarred({"inner.tar": inner, str(SYM_KEY): SYM}))
    assert (keys(), list(reasons(answer))) == ([f"v1/{SYM_KEY}"], ["inner.tar"])


def test_upload_without_room_on_the_disk_is_503(builder: Uploader, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tecken.upload.containers.TemporaryFile", full_disk)
    reply = send(builder, gzip.compress(tarred({"x": b"x" * 5000})), "x.tar.gz")
    assert (reply.status_code, reply["Retry-After"]) == (503, "60")


def full_disk(**_: object) -> Any:
    """Return a file whose writes fail as on a full disk."""
    return open("/dev/full", "r+b", buffering=0)
