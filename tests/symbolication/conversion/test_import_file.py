from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
import zstandard

from tecken.errors import BadModule, Malformed, TooLarge, Unavailable
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import Importer
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.file import Header
from tests.symbolication.conversion.memory import MemoryConversionLock, StoreIsAway
from tests.symbolication.samples import MIB, page_file, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


class Rig:
    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB)
        self.published: list[ObjectId] = []
        self.changed: list[tuple[FileKey, str, str]] = []
        self.cache_away = False

    def adder(self, store: PageStore | None = None) -> Importer:
        return Importer(
            files=self.files,
            page_files=self.page_files,
            store=store or self.store,
            lock=MemoryConversionLock(),
            conversion=Conversion(lambda: MIB),
            publish=self.published.append,
            forget_file=self.change,
        )

    def change(self, key: FileKey, code_file: str, code_id: str) -> None:
        if self.cache_away:
            raise Unavailable("redis-cache does not answer")
        self.changed.append((key, code_file, code_id))

    def add(self, raw: bytes, store: PageStore | None = None) -> Header:
        return self.adder(store).import_file(lambda: iter([raw]))

    def kept(self, module: ObjectId) -> bytes:
        return gzip.decompress(self.files.files[symbol_file(module)])


@pytest.fixture
def rig() -> Rig:
    return Rig()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_add_symbol_file_stores_file_pages_and_header(rig: Rig, pack: type[bytes]) -> None:
    header = rig.add(pack(sym(XUL)))
    assert rig.kept(XUL) == sym(XUL)
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}
    assert rig.store.headers([XUL]) == {XUL: header.raw}
    assert rig.published == [XUL]
    assert rig.changed == [(symbol_file(XUL), "", "")]


def test_add_missing_module_removes_its_marker(rig: Rig) -> None:
    rig.store.put_missing(XUL, Missing("absent", "no source has it"), 600)
    header = rig.add(sym(XUL))
    assert rig.store.headers([XUL]) == {XUL: header.raw}


def test_add_newer_file_replaces_the_older_one(rig: Rig) -> None:
    rig.add(sym(XUL))
    header = rig.add(sym(XUL, functions=5))
    assert rig.kept(XUL) == sym(XUL, functions=5)
    assert rig.page_files.files == {XUL: page_file(sym(XUL, functions=5))}
    assert rig.store.headers([XUL]) == {XUL: header.raw}


def test_add_lower_case_debug_id_is_stored_in_upper_case(rig: Rig) -> None:
    rig.add(sym(ObjectId("xul.pdb", XUL.debug_id.lower())))
    assert list(rig.page_files.files) == [XUL]
    assert list(rig.files.files) == [symbol_file(XUL)]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"<html>", Malformed),
        (sym(ObjectId("../../etc/passwd", XUL.debug_id)), BadModule),
        (sym(ObjectId("xul.pdb", "nonsense")), BadModule),
        (sym(XUL, functions=40_000), TooLarge),
    ],
    ids=["no symbols", "path", "no id", "too large"],
)
def test_add_unusable_file_stores_nothing(rig: Rig, raw: bytes, error: type[Exception]) -> None:
    with pytest.raises((error, Malformed)):
        rig.add(raw)
    assert rig.files.files == {}
    assert rig.page_files.files == {}


def test_add_unavailable_storage_raises(rig: Rig) -> None:
    rig.page_files.outage = Unavailable("storage is away")
    with pytest.raises(Unavailable, match="storage is away"):
        rig.add(sym(XUL))
    assert rig.store.headers([XUL]) == {}


def test_add_without_the_store_stores_the_files(rig: Rig) -> None:
    rig.add(sym(XUL), StoreIsAway())
    assert rig.page_files.files == {XUL: page_file(sym(XUL))}


def test_add_without_redis_cache_stores_the_files(rig: Rig) -> None:
    rig.cache_away = True
    header = rig.add(sym(XUL))
    assert rig.store.headers([XUL]) == {XUL: header.raw}


def test_add_file_reports_code_file_and_code_id(rig: Rig) -> None:
    text = sym(XUL).replace(b"\n", b"\nINFO CODE_ID 5EE6E9E7 xul.dll\n", 1)
    rig.add(text)
    assert rig.changed == [(symbol_file(XUL), "xul.dll", "5EE6E9E7")]


def test_add_failing_read_raises_its_error(rig: Rig) -> None:
    def broken() -> Iterator[bytes]:
        yield sym(XUL)
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours"):
        rig.adder().import_file(broken)
    assert rig.page_files.files == {}
