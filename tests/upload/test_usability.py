"""Warnings of stored files that will not symbolicate, in each protocol."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile

from tecken.storage.models import UNKNOWN_FORMAT, SymbolFile
from tecken.symbols import formats
from tecken.symbols.formats import FileReader
from tecken.symbols.formats.base import Kind, ObjectInfo
from tecken.symbols.formats.breakpad import SymbolCheck
from tecken.symbols.layouts import FileKey, FileType
from tecken.upload.file_rows import NATIVE, SymbolText
from tecken.upload.models import Upload
from tests.upload.uploaders import SYM, SYM_KEY, Makes, Uploader
from tests.upload.zips import zipped

pytest_plugins = ["tests.upload.site"]

ID = "EEEE2DD23CC306CA9C494EEF1533A3810"
MODULE = f"MODULE Linux x86_64 {ID} x.so\n".encode()
KEY = FileKey("x.so", ID, "x.so.sym")
USABLE = MODULE + b"FUNC 1000 20 0 f\n"


def warnings(content: bytes, key: FileKey = KEY, piece: int = 1 << 20) -> list[str]:
    text = SymbolText(key)
    for start in range(0, len(content), piece):
        text.feed(content[start : start + piece])
    if not key.file_type.is_compressed:
        text.identify(io.BytesIO(content), len(content))
    return list(text.warnings())


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    "records",
    [
        b"FUNC 1000 20 0 f\n",
        b"FUNC m 1000 20 0 f",
        b"PUBLIC 1000 0 f\r\n",
        b"FILE 0 a.c\nFUNC 00000000000001000 20 0 f\n",
        b"FUNC 140001000 20 0 f\nFUNC 1000 20 0 f\n",
    ],
)
def test_warnings_file_with_a_usable_record_has_none(records: bytes, piece: int) -> None:
    assert warnings(MODULE + records, piece=piece) == []


@pytest.mark.parametrize("piece", [1, 7, 1 << 20])
@pytest.mark.parametrize(
    ("records", "reason"),
    [
        (b"", "no FUNC and no PUBLIC record"),
        (b"FILE 0 FUNC 1000 20 0\n", "no FUNC and no PUBLIC record"),
        (b"FUNC 0x1000 0x20 0 f\n", "begin with 0x"),
        (b"PUBLIC 0X1000 0 f\n", "begin with 0x"),
        (b"FUNC 140001000 20 0 f\nFUNC 140001020 20 0 g\n", "past 4 GiB"),
        (b"FUNC 1000 0 0 f\n", "none of its FUNC and PUBLIC records can be read"),
        (b"FUNC main\n", "none of its FUNC and PUBLIC records can be read"),
    ],
)
def test_warnings_file_without_a_usable_record_has_the_reason(
    records: bytes, reason: str, piece: int
) -> None:
    (warning,) = warnings(MODULE + records, piece=piece)
    assert reason in warning
    assert warning.endswith("it will not symbolicate")


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (KEY._replace(debug_id="A" * 33), f"of another build, {ID}"),
        (FileKey("y.so", ID, "y.so.sym"), "names 'x.so': only requests for y.so find it"),
        (FileKey("x.so", ID, "x.sym"), "its name is not x.so.sym"),
        (FileKey("x.so", ID, "x.so.SYM"), "its name is not x.so.sym"),
    ],
)
def test_warnings_file_under_another_name_has_the_reason(key: FileKey, reason: str) -> None:
    assert [reason in warning for warning in warnings(USABLE, key)] == [True]


def test_warnings_windows_name_in_another_case_has_none() -> None:
    text = USABLE.replace(b"x.so", b"XUL.PDB")
    for name in ("xul.sym", "Xul.sym"):
        assert warnings(text, FileKey("xul.pdb", ID, name)) == []


def test_warnings_module_record_without_age_has_none() -> None:
    key = KEY._replace(debug_id=ID[:32] + "0")
    assert warnings(USABLE.replace(ID.encode(), ID[:32].lower().encode()), key) == []


@pytest.mark.parametrize("name", ["mg.dll.sym", "mg.dll"])
def test_warnings_zero_id_names_no_build(name: str) -> None:
    zeros = "0" * 32 + "1"
    text = f"MODULE windows x86_64 {zeros} mg.dll\nFUNC 1000 20 0 f\n".encode()
    (warning,) = warnings(text, FileKey("mg.dll", zeros, name))
    assert "all zeros" in warning


def test_warnings_endless_line_costs_a_bounded_memory() -> None:
    text = SymbolText(KEY)
    text.feed(MODULE + b"FUNC ")
    for _ in range(64):
        text.feed(b" " * (1 << 16))
    assert isinstance(text._check, SymbolCheck)
    assert len(text._check._line) < 1 << 13
    assert len(list(text.warnings())) == 1


class Toy:
    """A format that is identified and never converted, as a native one would be."""

    file_types: tuple[FileType, ...] = (FileType.PDB,)

    def __init__(self, name: str, info: ObjectInfo) -> None:
        self.name = name
        self.identity = f"{name} header"
        self._info = info

    def identify(self, file: FileReader) -> tuple[ObjectInfo, ...]:
        return (self._info,) if file.head.startswith(self.name.encode()) else ()

    def usability_check(self) -> None:
        return None


CODE_ID = "5AB38077A000"
INFO = ObjectInfo(Kind.DEBUG, "toy", "x86", "x.pdb", ID, "x.dll", CODE_ID)
OTHER = "A" * 33
OTHER_BUILD = [f"its toy header is of another build, {OTHER}: it will not symbolicate"]
TOY_KEY = FileKey("x.pdb", ID, "x.pd_")


@pytest.mark.parametrize(
    ("info", "key", "expected"),
    [
        (INFO, TOY_KEY, []),
        (INFO, FileKey("X.DLL", CODE_ID, "x.pd_"), []),
        (
            INFO,
            FileKey("y.dll", CODE_ID, "x.pd_"),
            ["its toy header names 'x.dll': only requests for y.dll find it"],
        ),
        (INFO._replace(debug_id=OTHER), TOY_KEY, OTHER_BUILD),
        (INFO._replace(debug_file="", debug_id=""), TOY_KEY, []),
        (INFO._replace(debug_file="", debug_id=OTHER), TOY_KEY, OTHER_BUILD),
    ],
)
def test_warnings_file_of_a_format_that_is_not_converted_are_of_its_ids(
    monkeypatch: pytest.MonkeyPatch, info: ObjectInfo, key: FileKey, expected: list[str]
) -> None:
    """The first format can be in a file of this type too, and does not recognise it."""
    monkeypatch.setattr(formats, "FORMATS", (Toy("other", INFO), Toy("toy", info)))
    assert warnings(b"toy", key) == expected
    assert warnings(b"odd", key) == []


@pytest.fixture
def builder(uploader: Makes) -> Uploader:
    return uploader()


def by_zip(builder: Uploader, key: FileKey, content: bytes) -> Any:
    file = io.BytesIO(zipped({str(key): content}))
    file.name = "any"
    reply = builder.client.post("/upload/", {"symbols.zip": file})
    assert reply.status_code == 201
    return reply.json()["upload"]["warnings"]


def by_direct(builder: Uploader, key: FileKey, content: bytes) -> Any:
    answer = builder.announce({key: content})
    builder.put(answer["files"][0]["action"]["url"], content)
    reply = builder.complete(answer["id"])
    assert reply.status_code == 200
    return reply.json()["upload"]["warnings"]


def by_sym_upload(builder: Uploader, key: FileKey, content: bytes) -> Any:
    file = SimpleUploadedFile(key.file_name, content)
    fields = {"debug_file": key.debug_file, "debug_identifier": key.debug_id, "symbol_file": file}
    reply = builder.client.post(f"/upload/sym_upload?key={builder.key}", fields)
    assert reply.status_code == 200
    assert reply.content.startswith(b'{"result": "OK", "warnings": [')
    return reply.json()["warnings"]


PROTOCOLS = [by_zip, by_direct, by_sym_upload]


@pytest.mark.django_db
@pytest.mark.parametrize("send", PROTOCOLS)
def test_upload_unusable_symbol_file_is_accepted_with_a_warning(builder: Uploader, send: Any) -> None:
    (warning,) = send(builder, KEY, MODULE + b"FUNC 140001000 20 0 f\n")
    assert warning["key"] == f"v1/{KEY}"
    assert "past 4 GiB" in warning["message"]
    assert Upload.objects.get().warnings == [warning]


@pytest.mark.django_db
@pytest.mark.parametrize("send", [by_zip, by_direct])
@pytest.mark.parametrize("name", ["x.so", "x.so.debug", "x.pdb"])
def test_upload_native_file_alone_warns_that_it_will_not_symbolicate(
    builder: Uploader, send: Any, name: str
) -> None:
    key = FileKey("x.so", ID, name)
    expected = [{"key": f"v1/{key}", "message": NATIVE}]
    assert send(builder, key, b"of no format") == expected
    assert by_zip(builder, key, b"of no format") == expected
    assert builder.client.get(f"/{key}").content == b"of no format"


@pytest.mark.django_db
def test_upload_native_file_with_its_symbol_file_has_no_warning(builder: Uploader) -> None:
    native = FileKey("crash-c", SYM_KEY.debug_id, "crash-c")
    file = io.BytesIO(zipped({str(native): b"of no format" * 1000, str(SYM_KEY): SYM}))
    file.name = "any"
    assert builder.client.post("/upload/", {"a.zip": file}).json()["upload"]["warnings"] == []


@pytest.mark.django_db
def test_upload_warning_of_a_name_with_nul_can_be_stored(builder: Uploader) -> None:
    (warning,) = by_zip(builder, KEY, USABLE.replace(b"x.so", b"y\0.so"))
    assert "names 'y\\x00.so'" in warning["message"]


def native_file(name: str) -> bytes:
    return (Path(__file__).parents[1] / "data" / "native" / name).read_bytes()


@pytest.mark.django_db
@pytest.mark.parametrize("send", [by_zip, by_direct])
@pytest.mark.parametrize(
    ("key", "name", "columns"),
    [
        (
            FileKey("libnative.so", "52F29A25810178511980D12EF214D9FA0", "libnative.so.debug"),
            "libnative.so.debug",
            ("debug", "elf", "x86_64", "259af252018151781980d12ef214d9fab5fe9d52"),
        ),
        (
            FileKey("native.dll", "CF9A71C03000", "native.dll"),
            "native.exe",
            ("executable", "pe", "x86_64", ""),
        ),
        (
            FileKey("native.pdb", "00AA3880D78BE4BB4C4C44205044422E1", "native.pdb"),
            "native.pdb",
            ("debug", "pdb", "x86_64", ""),
        ),
        (
            FileKey("native", "4C4C440055553144A1A3693FB126F9380", "native.dylib"),
            "fat.dylib",
            ("executable", "macho", "arm64", ""),
        ),
    ],
)
def test_upload_native_file_is_identified_by_its_content(
    builder: Uploader, send: Any, key: FileKey, name: str, columns: tuple[str, ...]
) -> None:
    warnings = send(builder, key, native_file(name))
    # A fat file is stored for each of its objects.
    assert {"key": f"v1/{key}", "message": NATIVE} in warnings
    assert {warning["message"] for warning in warnings} == {NATIVE}
    row = SymbolFile.objects.get(key=f"v1/{key}")
    assert (row.kind, row.format, row.arch, row.build_id) == columns


@pytest.mark.django_db
def test_upload_native_file_of_another_build_has_a_warning(builder: Uploader) -> None:
    key = FileKey("libnative.so", "A" * 33, "libnative.so")
    warning, _ = by_zip(builder, key, native_file("libnative.so"))
    assert "its build id is of another build, 52F29A25810178511980D12EF214D9FA0" in warning["message"]


@pytest.mark.django_db
def test_upload_native_file_that_is_cut_short_has_a_warning(builder: Uploader) -> None:
    key = FileKey("libnative.so", "A" * 33, "libnative.so")
    warning, _ = by_zip(builder, key, native_file("libnative.so")[:-100])
    assert warning["message"].startswith("it cannot be identified: the file ends before")
    assert SymbolFile.objects.get().format == UNKNOWN_FORMAT
