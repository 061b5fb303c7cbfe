"""Modules that are made from several native files, which arrive in any order and under any names."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from functools import partial
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone
from pytest_django import Settings
from symbolic.debuginfo import Archive

from tecken.errors import NotFound, Unavailable
from tecken.storage import services as storage_services
from tecken.storage.backends import seekable
from tecken.storage.models import NativeName, SymbolFile
from tecken.storage.native import MAX_NAMES, find_parents, register_name
from tecken.store import services as store_services
from tecken.store.port import Missing
from tecken.symbolication import services as symbolication_services
from tecken.symbolication.page_reader import read_header, read_pages
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.cfi import find
from tecken.symbols.pagefile.convert import symbol_file_text
from tecken.symbols.pagefile.file import Header, Section
from tecken.upload.retention import Retention
from tests.support.options import Override
from tests.upload.natives import (
    BUILD_ID,
    COMMON_BUILD_ID,
    DATA,
    DWZ_ID,
    ELF_ID,
    FRAMES_BUILD_ID,
    FRAMES_ID,
    UNWIND_ID,
    convert,
    debian,
    frame,
    needs_rust,
    send,
    send_bytes,
    warm_frame,
)
from tests.upload.uploaders import Uploader

pytest_plugins = ["tests.upload.site"]
pytestmark = pytest.mark.django_db

MODULE = ObjectId("frames.so", FRAMES_ID)
DEBUG = (debian(FRAMES_BUILD_ID), "frames.debug")
EXECUTABLE = (FileKey("frames.so", FRAMES_ID, "frames.so"), "frames.so")


def send_all(builder: Uploader, *files: tuple[FileKey, str]) -> None:
    for key, name in files:
        send(builder, key, name)


def unwind(module: ObjectId, offset: int) -> bytes | None:
    """Return the first line of the call frame information in the page file of a module."""
    header = convert(module)
    assert isinstance(header, Header)
    page = header.page_for(Section.CFI, offset)
    if page is None:
        return None
    (raw,) = read_pages(storage_services.page_files(), module, header, [page])
    lines = find(header.open(raw), offset).cfi
    return lines[0] if lines else None


def text_of(module: ObjectId) -> str:
    """Return the symbol file that is made from the page file of a module."""
    header = convert(module)
    assert isinstance(header, Header)
    nameless = ObjectId.without_name(header.metadata.native_id)
    read = partial(storage_services.page_files().read, nameless)
    return b"".join(symbol_file_text(header, read)).decode()


@pytest.mark.parametrize("files", [(DEBUG, EXECUTABLE), (EXECUTABLE, DEBUG)])
def test_debug_file_and_executable_in_any_order_make_one_module(
    native_builder: Uploader, files: Sequence[tuple[FileKey, str]]
) -> None:
    send(native_builder, *files[0])
    convert(MODULE)
    send(native_builder, *files[1])
    assert frame(native_builder, MODULE, 0x13D5)["line"] == 11
    record = unwind(MODULE, 0x13D5)
    assert record is not None
    assert record.startswith(b"STACK CFI INIT 13c0 28 .cfa: $rsp 8 +")


def test_text_of_two_files_is_complete(native_builder: Uploader) -> None:
    send_all(native_builder, DEBUG, EXECUTABLE)
    lines = text_of(MODULE).splitlines()
    assert lines[0] == f"MODULE Linux x86_64 {FRAMES_ID} frames.so"
    kinds = {line.partition(" ")[0] for line in lines}
    assert {"MODULE", "INFO", "FILE", "FUNC", "STACK"} <= kinds
    assert "13d0 f 11 1" in lines


def test_text_is_read_by_another_library(native_builder: Uploader) -> None:
    """`symbolic` accepts names of files before the functions only; engines write them where they are used."""
    send_all(native_builder, DEBUG, EXECUTABLE)
    archive = Archive.from_bytes(text_of(MODULE).encode())
    cache = archive.get_object(arch="x86_64").make_symcache()
    lines = cache.lookup(0x13D5)  # type: ignore[no-untyped-call]
    assert [(line.symbol, line.line) for line in lines] == [("steps", 11)]


def test_upload_rebuilds_the_module_under_each_requested_name(native_builder: Uploader) -> None:
    """The processes that have the former symbols in memory get the new ones, too."""
    send(native_builder, FileKey("other", BUILD_ID, "other"), "symbols.so")
    ids = [("libnative.so", ELF_ID), ("Renamed.DLL", ELF_ID), ("x", BUILD_ID.upper())]
    names = [ObjectId(*names) for names in ids]
    assert [frame(native_builder, module, 0x1335).get("line") for module in names] == [None] * 3
    send(native_builder, debian(BUILD_ID), "libnative.so.debug")
    assert [frame(native_builder, module, 0x1335)["line"] for module in names] == [11] * 3


def test_names_of_a_module_share_one_conversion(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    first, second = convert(MODULE), convert(ObjectId("another", FRAMES_ID))
    assert isinstance(first, Header)
    assert isinstance(second, Header)
    assert first.raw == second.raw
    (start,) = storage_services.page_files().read(MODULE, [(0, len(first.raw))])
    assert start == first.raw
    with pytest.raises(Exception, match="byte"):
        storage_services.page_files().read(MODULE, [(0, len(first.raw) + 1)])


def test_name_reads_pages_of_the_page_file_of_its_id(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    convert(MODULE)
    store_services.page_store().forget(MODULE)
    assert warm_frame(native_builder, MODULE, 0x13D5)["line"] == 11


def test_symbol_file_of_a_name_leaves_the_other_names_as_they_are(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    other = ObjectId("other", FRAMES_ID)
    convert(MODULE)
    convert(other)
    sym = f"MODULE Linux x86_64 {FRAMES_ID} frames.so\nFUNC 13c0 28 0 own\n".encode()
    send_bytes(native_builder, symbol_file(MODULE), sym)
    assert frame(native_builder, MODULE, 0x13D5)["function"] == "own"
    assert frame(native_builder, other, 0x13D5)["line"] == 11


@needs_rust
def test_common_file_rebuilds_the_modules_that_refer_to_it(native_builder: Uploader) -> None:
    module = ObjectId("one.so", DWZ_ID)
    send(native_builder, FileKey("one.so", DWZ_ID, "one.so"), "one.so")
    # The directory of the compilation is in the common file.
    assert frame(native_builder, module, 0x1335)["file"] == "src/native.c"
    send(native_builder, debian(COMMON_BUILD_ID), "common.debug")
    assert frame(native_builder, module, 0x1335)["file"] == "/build/src/native.c"


def test_executable_of_a_pdb_is_found_by_its_codeview_record(native_builder: Uploader) -> None:
    module = ObjectId("unwind.pdb", UNWIND_ID)
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    assert unwind(module, 0x1020) is None
    send(native_builder, FileKey("unwind.exe", "CD6F5F244000", "unwind.exe"), "unwind.exe")
    record = unwind(module, 0x1020)
    assert record is not None
    assert record.startswith(b"STACK CFI INIT 1010 ")


def test_module_of_a_code_id_is_that_of_the_debug_file(native_builder: Uploader) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.exe"), "unwind.exe")
    found = frame(native_builder, ObjectId("UNWIND.exe", "CD6F5F244000"), 0x1020)
    assert found["function"] == "sum(int)"
    with pytest.raises(NotFound):
        find_parents(ObjectId("another.exe", "CD6F5F244000"))


@needs_rust
def test_package_without_an_id_belongs_to_the_id_of_its_path(native_builder: Uploader) -> None:
    debug_id, build_id = "A7D4C92647A4DDA8653DC282A3A68E820", "26c9d4a7a447a8dd653dc282a3a68e82115d1b15"
    send(native_builder, FileKey("split.so", debug_id, "split.so"), "split.so")
    send(native_builder, FileKey("split.so", build_id, "split.so.dwp"), "split.dwp")
    assert [*find_parents(ObjectId("split.so", debug_id)).others] == ["package"]
    assert frame(native_builder, ObjectId("split.so", debug_id), 0x1335)["line"] == 11


def test_file_with_another_id_than_its_path_belongs_to_its_own(native_builder: Uploader) -> None:
    other = "B" * 32 + "0"
    send(native_builder, FileKey("libnative.so", other, "libnative.so"), "libnative.so")
    assert convert(ObjectId("libnative.so", other)) == Missing(
        "absent", f"libnative.so/{other} is not in {storage_services.symbol_search().name}"
    )
    assert frame(native_builder, ObjectId("libnative.so", ELF_ID), 0x1335)["line"] == 11


def test_replaced_file_belongs_to_no_module_any_more(native_builder: Uploader) -> None:
    key = FileKey("libnative.so", ELF_ID, "libnative.so")
    send(native_builder, key, "libnative.so")
    send(native_builder, key, "arm64.so")
    with pytest.raises(NotFound):
        find_parents(ObjectId("libnative.so", ELF_ID))


def test_broken_executable_costs_only_what_it_adds(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    content = bytearray((DATA / "frames.so").read_bytes())
    # The table of sections is there and has another type of file, which only the engine checks.
    content[0x20:0x28] = b"\xff" * 8
    send_bytes(native_builder, EXECUTABLE[0], bytes(content))
    assert frame(native_builder, MODULE, 0x13D5)["line"] == 11


def test_files_together_are_bounded(native_builder: Uploader, runtime_options: Override) -> None:
    send_all(native_builder, DEBUG, EXECUTABLE)
    size = (DATA / "frames.debug").stat().st_size
    runtime_options(symbol_max_bytes=size + 1000)
    assert frame(native_builder, MODULE, 0x13D5)["line"] == 11
    assert unwind(MODULE, 0x13D5) is None


def test_module_that_was_absent_is_there_after_an_upload_under_another_name(native_builder: Uploader) -> None:
    module = ObjectId("requested", FRAMES_ID)
    assert isinstance(convert(module), Missing)
    assert module in store_services.page_store().headers([module])
    assert symbolication_services.known_absent([module])
    send(native_builder, *DEBUG)
    assert store_services.page_store().headers([module]) == {}
    assert not symbolication_services.known_absent([module])
    assert frame(native_builder, module, 0x13D5)["line"] == 11


def test_register_name_removes_the_oldest_of_too_many(native_builder: Uploader) -> None:
    names = [ObjectId(f"name{i}", FRAMES_ID) for i in range(MAX_NAMES + 1)]
    removed = [register_name(name, FRAMES_ID) for name in names]
    assert removed == [[]] * MAX_NAMES + [[names[0]]]
    assert NativeName.objects.count() == MAX_NAMES


def test_conversion_removes_page_files_of_names_that_are_too_many(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    for number in range(MAX_NAMES + 1):
        convert(ObjectId(f"name{number}", FRAMES_ID))
    modules = {module for module, _ in storage_services.page_files().entries()}
    assert ObjectId("name0", FRAMES_ID) not in modules
    assert len(modules) == MAX_NAMES + 1


def test_name_that_no_file_can_have_is_not_found(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    with pytest.raises(NotFound):
        find_parents(ObjectId("x" * 256, FRAMES_ID))


def test_retention_of_one_file_rebuilds_the_module_without_it(native_builder: Uploader) -> None:
    send_all(native_builder, DEBUG, EXECUTABLE)
    assert unwind(MODULE, 0x13D5) is not None
    _expire(EXECUTABLE[0])
    assert unwind(MODULE, 0x13D5) is None
    assert frame(native_builder, MODULE, 0x13D5)["line"] == 11


def test_retention_of_all_files_removes_the_page_files(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    convert(MODULE)
    _expire(DEBUG[0])
    assert [*storage_services.page_files().entries()] == []
    assert isinstance(convert(MODULE), Missing)


def _expire(key: FileKey) -> None:
    """Run retention as if it were so late that files of today are old, but for those that are young."""
    row = SymbolFile.objects.get(key__endswith=key.file_name)
    now = timezone.now() + timedelta(days=365 * 20)
    others = SymbolFile.objects.exclude(pk=row.pk)
    others.update(created_at=now)
    Retention(now).run()
    assert not SymbolFile.objects.filter(pk=row.pk).exists()


def fsck(*arguments: str) -> list[str]:
    out = StringIO()
    with suppress(CommandError):
        call_command("symbols", "fsck", *arguments, stdout=out)
    return [line for line in out.getvalue().splitlines() if "files, " not in line]


def test_fsck_of_native_files_has_no_problem(native_builder: Uploader, settings: Settings) -> None:
    settings.SYMBOL_SOURCES = []
    send_all(native_builder, DEBUG, (FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb"))
    send(native_builder, FileKey("unwind.exe", "CD6F5F244000", "unwind.exe"), "unwind.exe")
    for names in (("frames.so", FRAMES_ID), ("x", FRAMES_BUILD_ID.upper()), ("unwind.exe", "CD6F5F244000")):
        assert isinstance(convert(ObjectId(*names)), Header)
    assert fsck() == []


def test_fsck_repairs_page_files_that_are_older_than_a_native_file(
    native_builder: Uploader, settings: Settings
) -> None:
    settings.SYMBOL_SOURCES = []
    send(native_builder, *DEBUG)
    convert(MODULE)
    SymbolFile.objects.update(completed_at=timezone.now() + timedelta(days=1))
    ids = (MODULE, ObjectId.without_name(FRAMES_ID))
    problems = {f"page file of {module}: older than the symbol file" for module in ids}
    assert set(fsck("--repair")) == problems
    assert fsck() == []
    assert [*storage_services.page_files().entries()] == []


@pytest.mark.parametrize(
    ("names", "missing"),
    [
        (["frames.debug", "frames.so"], []),
        (
            ["frames.debug"],
            ["The executable for this build id was not uploaded, so there is no unwind information."],
        ),
        (["frames.so"], ["Only the executable was uploaded: functions come from its symbol table."]),
        # The debug file has its own.
        (["libnative.so.debug"], []),
        (
            ["symbols.debug", "stripped.so"],
            ["No file with debug information was uploaded: functions come from a symbol table."],
        ),
    ],
)
def test_missing_files_of_a_module_are_stated(
    native_builder: Uploader, names: list[str], missing: list[str]
) -> None:
    debug_id = FRAMES_ID if names[0].startswith("frames") else ELF_ID
    send_all(native_builder, *((FileKey(name, debug_id, name), name) for name in names))
    assert [*find_parents(ObjectId("x", debug_id)).missing()] == missing


def test_missing_common_file_is_stated(native_builder: Uploader) -> None:
    send(native_builder, FileKey("one.so", DWZ_ID, "one.so"), "one.so")
    (sentence,) = find_parents(ObjectId("one.so", DWZ_ID)).missing()
    assert COMMON_BUILD_ID in sentence
    send(native_builder, debian(COMMON_BUILD_ID), "common.debug")
    assert [*find_parents(ObjectId("one.so", DWZ_ID)).missing()] == []


def test_missing_executable_of_a_pdb_is_stated(native_builder: Uploader) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    (sentence,) = find_parents(ObjectId("unwind.pdb", UNWIND_ID)).missing()
    assert sentence.startswith("The executable for this debug id")


def test_upload_of_a_common_file_and_a_package_has_no_warning(native_builder: Uploader) -> None:
    assert send(native_builder, debian(COMMON_BUILD_ID), "common.debug")["warnings"] == []
    key = FileKey("split.so", "A7D4C92647A4DDA8653DC282A3A68E820", "split.so.dwp")
    assert send(native_builder, key, "split.dwp")["warnings"] == []


def test_code_file_of_a_windows_executable_is_its_uploaded_name(native_builder: Uploader) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.pdb"), "unwind.pdb")
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.exe"), "unwind.exe")
    header = convert(ObjectId("unwind.pdb", UNWIND_ID))
    assert isinstance(header, Header)
    assert (header.metadata.code_id, header.metadata.code_file) == ("CD6F5F244000", "unwind.exe")


def test_explain_of_a_code_id_is_that_of_the_debug_id(native_builder: Uploader) -> None:
    send(native_builder, FileKey("unwind.pdb", UNWIND_ID, "unwind.exe"), "unwind.exe")
    names = {"code_file": "unwind.exe", "code_id": "cd6f5f244000"}
    reply = native_builder.client.get("/explain/", names)
    assert (reply.status_code, reply["Location"]) == (302, f"/explain/unwind.exe/{UNWIND_ID}/")
    page = native_builder.client.get(reply["Location"]).content.decode()
    assert "Only the executable was uploaded" in page


def test_explain_lists_the_native_files_and_what_is_missing(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    native = symbolication_services.explainer().explain(MODULE).native
    assert not isinstance(native, Unavailable | None)
    assert native.paths == (str(DEBUG[0]).replace(FRAMES_BUILD_ID, FRAMES_BUILD_ID.upper()),)
    assert "no unwind information" in native.missing[0]
    assert symbolication_services.explainer().explain(ObjectId("x", "C" * 33)).native is None


def test_read_header_of_a_name_is_that_of_its_id(native_builder: Uploader) -> None:
    send(native_builder, *DEBUG)
    convert(MODULE)
    files = storage_services.page_files()
    assert read_header(files, MODULE) == read_header(files, ObjectId.without_name(FRAMES_ID))


def test_file_that_is_stored_plain_is_converted_in_its_place(
    native_builder: Uploader, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seekable, "LARGEST_SHARE", 0)
    send_all(native_builder, DEBUG, EXECUTABLE)
    opened = storage_services.own_files().open_file(find_parents(MODULE).main.key)
    assert opened
    with opened:
        assert frame(native_builder, MODULE, 0x13D5)["line"] == 11
        assert unwind(MODULE, 0x13D5) is not None
        assert opened.read() == (DATA / DEBUG[1]).read_bytes()
