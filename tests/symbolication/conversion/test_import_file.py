from __future__ import annotations

import gzip
from collections.abc import Iterator

import pytest
import zstandard

from tecken.errors import BadModule, CouldNotAsk, Malformed, TooMuch
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import Adder
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.file import Header
from tests.symbolication.conversion.memory import MemoryTurns, StoreIsAway
from tests.symbolication.samples import MIB, page_file, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")


class House:
    def __init__(self) -> None:
        self.files = MemoryFiles()
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB)
        self.told: list[ObjectId] = []
        self.changed: list[tuple[FileKey, str, str]] = []
        self.cache_away = False

    def adder(self, store: PageStore | None = None) -> Adder:
        return Adder(
            files=self.files,
            page_files=self.page_files,
            store=store or self.store,
            turns=MemoryTurns(),
            conversion=Conversion(lambda: MIB),
            tell=self.told.append,
            changed=self.change,
        )

    def change(self, key: FileKey, code_file: str, code_id: str) -> None:
        if self.cache_away:
            raise CouldNotAsk("redis-cache does not answer")
        self.changed.append((key, code_file, code_id))

    def add(self, raw: bytes, store: PageStore | None = None) -> Header:
        return self.adder(store).add(lambda: iter([raw]))

    def kept(self, module: ObjectId) -> bytes:
        return gzip.decompress(self.files.files[symbol_file(module)])


@pytest.fixture
def house() -> House:
    return House()


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress], ids=["plain", "gzip", "zstd"])
def test_symbols_and_pages_are_kept(house: House, pack: type[bytes]) -> None:
    header = house.add(pack(sym(XUL)))
    assert house.kept(XUL) == sym(XUL)
    assert house.page_files.files == {XUL: page_file(sym(XUL))}
    assert house.store.headers([XUL]) == {XUL: header.raw}
    assert house.told == [XUL]
    assert house.changed == [(symbol_file(XUL), "", "")]


def test_what_is_added_is_missing_no_more(house: House) -> None:
    house.store.put_missing(XUL, Missing("absent", "nobody has it"), 600)
    header = house.add(sym(XUL))
    assert house.store.headers([XUL]) == {XUL: header.raw}


def test_a_newer_file_replaces_an_older_one(house: House) -> None:
    house.add(sym(XUL))
    header = house.add(sym(XUL, functions=5))
    assert house.kept(XUL) == sym(XUL, functions=5)
    assert house.page_files.files == {XUL: page_file(sym(XUL, functions=5))}
    assert house.store.headers([XUL]) == {XUL: header.raw}


def test_a_debug_id_in_lower_case_is_kept_where_it_is_looked_for(house: House) -> None:
    house.add(sym(ObjectId("xul.pdb", XUL.debug_id.lower())))
    assert list(house.page_files.files) == [XUL]
    assert list(house.files.files) == [symbol_file(XUL)]


@pytest.mark.parametrize(
    ("raw", "error"),
    [
        (b"<html>", Malformed),
        (sym(ObjectId("../../etc/passwd", XUL.debug_id)), BadModule),
        (sym(ObjectId("xul.pdb", "nonsense")), BadModule),
        (sym(XUL, functions=40_000), TooMuch),
    ],
    ids=["no symbols", "path", "no id", "too large"],
)
def test_what_cannot_be_used_leaves_nothing(house: House, raw: bytes, error: type[Exception]) -> None:
    with pytest.raises((error, Malformed)):
        house.add(raw)
    assert house.files.files == {}
    assert house.page_files.files == {}


def test_storage_that_cannot_be_asked_is_told(house: House) -> None:
    house.page_files.away = CouldNotAsk("storage is away")
    with pytest.raises(CouldNotAsk, match="storage is away"):
        house.add(sym(XUL))
    assert house.store.headers([XUL]) == {}


def test_without_the_store_files_are_kept_all_the_same(house: House) -> None:
    house.add(sym(XUL), StoreIsAway())
    assert house.page_files.files == {XUL: page_file(sym(XUL))}


def test_without_redis_cache_files_are_kept_all_the_same(house: House) -> None:
    house.cache_away = True
    header = house.add(sym(XUL))
    assert house.store.headers([XUL]) == {XUL: header.raw}


def test_code_file_and_code_id_are_told(house: House) -> None:
    text = sym(XUL).replace(b"\n", b"\nINFO CODE_ID 5EE6E9E7 xul.dll\n", 1)
    house.add(text)
    assert house.changed == [(symbol_file(XUL), "xul.dll", "5EE6E9E7")]


def test_what_reading_raises_is_passed_on(house: House) -> None:
    def broken() -> Iterator[bytes]:
        yield sym(XUL)
        raise PermissionError("not yours")

    with pytest.raises(PermissionError, match="not yours"):
        house.adder().add(broken)
    assert house.page_files.files == {}
