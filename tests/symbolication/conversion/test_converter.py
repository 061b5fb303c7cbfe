from __future__ import annotations

import gzip
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from tecken.errors import CouldNotAsk, TeckenError, Throttled
from tecken.storage.backends.memory import MemoryPageFiles, MemorySymbols
from tecken.storage.factory import source_for
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import LONGEST_UNREACHABLE, Lifetimes, Preparer
from tecken.symbolication.conversion.page_file_builder import Conversion
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import symbol_file
from tecken.symbols.pagefile.file import Header
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import MemoryTurns, StoreIsAway
from tests.symbolication.samples import MIB, header_of, of_version_1, page_file, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
LIFETIMES = Lifetimes(absent=600, malformed=86_400, unreachable=5)


class House:
    def __init__(self, spool_dir: Path) -> None:
        self.clock = Clock()
        self.source: Any = MemorySymbols({XUL: sym(XUL)})
        self.uploads: Counter[ObjectId] = Counter()
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB, self.clock)
        self.spool_dir = spool_dir

    def prepare(self, module: ObjectId = XUL, store: PageStore | None = None) -> Header | Missing:
        preparer = Preparer(
            source=self.source,
            stamp=self.uploads.__getitem__,
            page_files=self.page_files,
            store=store or self.store,
            turns=MemoryTurns(),
            conversion=Conversion(lambda: MIB, str(self.spool_dir)),
            lifetimes=lambda: LIFETIMES,
        )
        return preparer.prepare(module)


@pytest.fixture
def house(tmp_path: Path) -> House:
    return House(tmp_path)


def missing(answer: Header | Missing) -> Missing:
    assert isinstance(answer, Missing)
    return answer


def test_a_symbol_file_becomes_a_page_file_and_a_header_in_the_store(house: House) -> None:
    answer = house.prepare()
    assert isinstance(answer, Header)
    assert house.page_files.files == {XUL: page_file(sym(XUL))}
    assert house.store.headers([XUL]) == {XUL: answer.raw}
    assert list(house.spool_dir.iterdir()) == []


def test_a_compressed_symbol_file_gives_the_same(house: House) -> None:
    house.source.files[XUL] = gzip.compress(sym(XUL))
    house.prepare()
    assert house.page_files.files == {XUL: page_file(sym(XUL))}


def test_what_only_unwinders_read_is_not_fetched(house: House) -> None:
    def chunks() -> Iterator[bytes]:
        yield sym(XUL)
        yield b"STACK CFI INIT 1000 10 .cfa: $rsp 8 +\n" * 100_000
        raise AssertionError("read on")

    with Conversion(lambda: 100 * MIB).of(chunks()) as made:
        assert made.header.metadata.symbols == 3


def test_what_is_there_is_not_fetched_again(house: House) -> None:
    house.page_files.files[XUL] = page_file(sym(XUL))
    house.source.files[XUL] = CouldNotAsk("not to be asked")
    answer = house.prepare()
    assert isinstance(answer, Header)
    assert house.store.headers([XUL]) == {XUL: answer.raw}


def test_a_page_file_of_another_version_is_made_again(house: House) -> None:
    house.page_files.files[XUL] = b"page file of another version" * 10
    assert isinstance(house.prepare(), Header)
    assert house.page_files.files == {XUL: page_file(sym(XUL))}


def test_preparer_page_file_and_stored_header_of_version_1_are_made_again(house: House) -> None:
    old = page_file(sym(XUL, functions=5))
    house.page_files.files[XUL] = of_version_1(old)
    house.store.put_header(XUL, of_version_1(header_of(XUL, 5).raw))
    answer = house.prepare()
    assert isinstance(answer, Header)
    assert house.page_files.files == {XUL: page_file(sym(XUL))}
    assert house.store.headers([XUL]) == {XUL: answer.raw}


@pytest.mark.parametrize(
    ("stored", "kind", "reason", "seconds"),
    [
        (None, "absent", "memory has no xul.pdb", 600),
        (b"<html>not found</html>", "malformed", "", 86_400),
        (gzip.compress(sym(XUL))[:-12], "malformed", "", 86_400),
        (sym(XUL, functions=40_000), "malformed", "", 86_400),
        (CouldNotAsk("connection refused"), "unreachable", "connection refused", 5),
        (Throttled("slow down", retry_after=77.2), "unreachable", "slow down", 77),
        (Throttled("slow down", retry_after=0.001), "unreachable", "slow down", 1),
        (Throttled("slow down", retry_after=1e9), "unreachable", "slow down", LONGEST_UNREACHABLE),
    ],
    ids=["absent", "no symbols", "truncated", "too large", "refused", "throttled", "at once", "next year"],
)
def test_each_no_is_remembered_for_as_long_as_fits_its_kind(
    house: House, stored: bytes | TeckenError | None, kind: str, reason: str, seconds: int
) -> None:
    if stored is None:
        del house.source.files[XUL]
    else:
        house.source.files[XUL] = stored
    answer = missing(house.prepare())
    assert answer.kind == kind
    assert reason in answer.reason
    assert answer.reason
    assert house.page_files.files == {}
    house.clock.sleep(seconds - 0.5)
    assert house.store.headers([XUL]) == {XUL: answer}
    house.clock.sleep(0.5)
    assert house.store.headers([XUL]) == {}


def test_unreachable_and_then_reachable(house: House) -> None:
    house.source.files[XUL] = CouldNotAsk("connection refused")
    assert missing(house.prepare()).kind == "unreachable"
    house.source.files[XUL] = sym(XUL)
    assert missing(house.prepare()).kind == "unreachable"
    house.clock.sleep(LIFETIMES.unreachable)
    assert isinstance(house.prepare(), Header)


def test_preparer_module_record_of_32_digits_is_age_0(house: House) -> None:
    without_age = ObjectId("xul.pdb", XUL.debug_id[:32])
    module = ObjectId.parse(*without_age)
    house.source.files = {module: sym(without_age)}
    assert isinstance(house.prepare(module), Header)


def test_a_file_of_another_build_is_malformed_and_says_why(house: House) -> None:
    house.source.files[XUL] = sym(ObjectId("xul.pdb", "0" * 33))
    answer = missing(house.prepare())
    assert answer.kind == "malformed"
    assert "another build" in answer.reason
    assert "0" * 33 in answer.reason
    assert house.page_files.files == {}


def test_a_debug_id_in_lower_case_is_the_same_build(house: House) -> None:
    house.source.files[XUL] = sym(ObjectId("xul.pdb", XUL.debug_id.lower()))
    assert isinstance(house.prepare(), Header)


def test_a_renamed_debug_file_is_the_same_build(house: House) -> None:
    house.source.files[XUL] = sym(ObjectId("xul-stripped.pdb", XUL.debug_id))
    assert isinstance(house.prepare(), Header)
    assert list(house.page_files.files) == [XUL]


def test_page_files_that_cannot_be_asked_spare_the_download(house: House) -> None:
    house.page_files.away = CouldNotAsk("storage is away")
    del house.source.files[XUL]
    assert missing(house.prepare()) == Missing("unreachable", "storage is away")


def test_without_the_store_page_files_are_made_all_the_same(house: House) -> None:
    assert isinstance(house.prepare(store=StoreIsAway()), Header)
    assert house.page_files.files == {XUL: page_file(sym(XUL))}
    del house.source.files[XUL]
    other = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
    assert missing(house.prepare(other, StoreIsAway())).kind == "absent"


def test_a_disk_without_room_is_not_the_files_fault(house: House, tmp_path: Path) -> None:
    house.spool_dir = tmp_path / "not mounted"
    answer = missing(house.prepare())
    assert answer.kind == "unreachable"
    assert "no room to convert in" in answer.reason


def test_the_prepared_header_is_that_of_the_page_file(house: House) -> None:
    answer = house.prepare()
    assert isinstance(answer, Header)
    assert answer.generation == header_of(XUL).generation


class Uploading(MemorySymbols):
    """Each time its file is read another upload comes, of the next of `uploads`."""

    def __init__(self, house: House, uploads: list[bytes | None]) -> None:
        super().__init__({})
        self._house = house
        self._uploads = uploads

    @contextmanager
    def open(self, module: ObjectId) -> Iterator[Iterator[bytes]]:
        try:
            with super().open(module) as chunks:
                yield chunks
        finally:
            uploaded = self._uploads.pop(0) if self._uploads else None
            if uploaded:
                self.files[module] = uploaded
                self._house.uploads[module] += 1
                self._house.page_files.delete(module)
                self._house.store.forget(module)


@pytest.mark.parametrize("before", [sym(XUL), b"<html>", None], ids=["other symbols", "malformed", "absent"])
def test_an_upload_during_a_conversion_is_what_counts(house: House, before: bytes | None) -> None:
    newer = sym(XUL, functions=5)
    house.source = Uploading(house, [newer])
    if before:
        house.source.files[XUL] = before
    answer = house.prepare()
    assert isinstance(answer, Header)
    assert house.page_files.files == {XUL: page_file(newer)}
    assert house.store.headers([XUL]) == {XUL: answer.raw}


def test_uploads_without_end_are_no_answer(house: House) -> None:
    house.source = Uploading(house, [sym(XUL, functions=n) for n in range(4, 20)])
    answer = missing(house.prepare())
    assert answer.kind == "unreachable"
    assert "again and again" in answer.reason
    assert house.page_files.files == {}


def test_preparer_full_disk_is_unreachable_and_tried_again_later(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where a small text fits into a buffer, so that the disk is only written to at the end."""
    house.source.files = {XUL: sym(XUL)}

    def full_disk(**_: object) -> BinaryIO:
        return open("/dev/full", "r+b")

    with monkeypatch.context() as patched:
        patched.setattr("tecken.symbolication.conversion.page_file_builder.TemporaryFile", full_disk)
        answer = missing(house.prepare())
    assert answer.kind == "unreachable"
    assert "No space left on device" in answer.reason


HUNGRY = """
from tecken.errors import TooMuch
from tecken.symbolication.conversion.page_file_builder import Conversion

def text(records):
    yield b"MODULE Linux x86_64 A1B2C3D4E5F60718293A4B5C6D7E8F900 x\\n"
    for start in range(0, records, 10_000):
        yield b"".join(b"PUBLIC %x 0 p\\n" % (records - i) for i in range(start, start + 10_000))

conversion = Conversion(lambda: 1 << 30, None, 48 << 20)
for records in (3_000_000, 30_000):
    try:
        with conversion.of(text(records)) as made:
            print(made.header.metadata.symbols)
    except TooMuch as error:
        print(error)
"""


def test_conversion_that_needs_too_much_memory_is_too_much_and_the_next_one_works() -> None:
    """In a process of its own, so that the limit is not that of the tests."""
    command = [sys.executable, "-c", HUNGRY]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == [
        "symbol file needs more than 48 MiB of memory to be converted",
        "30000",
    ]


def test_prepare_absent_in_one_spelling_looks_for_another_one(house: House, tmp_path: Path) -> None:
    """Upstreams compare names exactly: a wrong spelling must not hide the symbols from the right one."""
    right, wrong = ObjectId("Foo.pdb", XUL.debug_id), ObjectId("FOO.PDB", XUL.debug_id)
    path = tmp_path / "upstream" / str(symbol_file(right))
    path.parent.mkdir(parents=True)
    path.write_bytes(sym(right))
    house.source = source_for((tmp_path / "upstream").as_uri())
    assert missing(house.prepare(wrong)).kind == "absent"
    assert isinstance(house.prepare(right), Header)
    assert isinstance(house.prepare(wrong), Header)
    assert list(house.page_files.files) == [right]
