from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest

from tecken.errors import CouldNotAsk, TooMuch
from tecken.storage.backends.memory import MemoryPageFiles
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbolication import loader as library_module
from tecken.symbolication.loader import Library, Pages
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader
from tecken.symbolication.trace import Tiers, Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, Section
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import StoreIsAway
from tests.symbolication.samples import MIB, header_of, of_version_1, page_file, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
TRUST = 30.0


class House:
    """Processes come and go; store and page files stay."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryPageStore(MIB)
        self.page_files = MemoryPageFiles()
        self.keep(XUL)

    def keep(self, module: ObjectId, functions: int = 3) -> None:
        self.page_files.files[module] = page_file(sym(module, functions))

    def process(self, store: PageStore | None = None, seconds: float = 10) -> Library:
        reader = PageFileReader(self.page_files, seconds=seconds)
        headers = HeaderCache(MIB, lambda: TRUST, self.clock)
        return Library(store or self.store, reader, headers, PageCache(MIB))


@pytest.fixture
def house() -> House:
    return House()


def header(library: Library, module: ObjectId = XUL) -> Header:
    found = library.headers([module], Trace())[module]
    assert isinstance(found, Header)
    return found


def page(found: Header, offset: int = 0x1000) -> int:
    number = found.page_for(Section.SYMBOLS, offset)
    assert number is not None
    return number


def pages(library: Library, found: Header, trace: Trace | None = None) -> Pages:
    return library.pages([(XUL, found, page(found))], trace or Trace())


def symbol_text(answer: Pages, found: Header) -> bytes:
    return answer.found[found.generation, page(found)].text(0)


def test_a_header_comes_from_the_page_file_then_from_the_store_then_from_the_process(house: House) -> None:
    first, second = house.process(), house.process()
    for library, tier in ((first, "page_file"), (first, "process"), (second, "store"), (second, "process")):
        trace = Trace()
        (found,) = library.headers([XUL], trace).values()
        assert isinstance(found, Header)
        assert found.generation == header_of(XUL).generation
        assert trace.headers == Tiers(**{tier: 1})


def test_a_page_comes_from_the_page_file_then_from_the_store_then_from_the_process(house: House) -> None:
    first, second = house.process(), house.process()
    for library, tier in ((first, "page_file"), (first, "process"), (second, "store"), (second, "process")):
        trace = Trace()
        found = header(library)
        assert symbol_text(pages(library, found, trace), found).startswith(b"FUNC 1000")
        assert trace.pages == Tiers(**{tier: 1})


def test_what_is_warm_asks_nobody(house: House) -> None:
    library = house.process()
    pages(library, header(library))
    trace = Trace()
    pages(library, header(library), trace)
    assert trace.store.count == 0
    assert trace.downloads == {}


def test_a_request_says_what_it_spent(house: House) -> None:
    trace = Trace()
    library = house.process()
    (found,) = library.headers([XUL], trace).values()
    assert isinstance(found, Header)
    library.pages([(XUL, found, page(found))], trace)
    assert (trace.store.count, trace.store.hits) == (2, 0)
    assert trace.downloads[XUL].count == 2
    start, end = found.span(page(found))
    assert trace.downloads[XUL].size == len(found.raw) + end - start
    assert trace.parse[XUL] > 0


def test_nobody_has_made_a_page_file_yet(house: House) -> None:
    assert house.process().headers([NSS], Trace()) == {}


def test_a_page_file_of_another_version_counts_as_none(house: House) -> None:
    for raw in (b"", b"something else" * 100, house.page_files.files[XUL][:50]):
        house.page_files.files[XUL] = raw
        assert house.process().headers([XUL], Trace()) == {}


def test_a_header_in_the_store_that_is_malformed_counts_as_none(house: House) -> None:
    house.store.put_header(XUL, b"TKNPAGES of another version")
    header(house.process())
    assert house.store.headers([XUL]) == {XUL: header_of(XUL).raw}


def test_library_page_file_and_stored_header_of_version_1_are_cold(house: House) -> None:
    old = house.page_files.files[XUL]
    house.page_files.files[XUL] = of_version_1(old)
    house.store.put_header(XUL, of_version_1(header_of(XUL).raw))
    assert house.process().headers([XUL], Trace()) == {}


def test_a_missing_marker_is_the_answer(house: House) -> None:
    marker = Missing("malformed", "no MODULE record")
    house.store.put_missing(NSS, marker, 60)
    assert house.process().headers([NSS, XUL], Trace())[NSS] == marker


def test_without_the_store_page_files_answer(house: House) -> None:
    library = house.process(StoreIsAway())
    found = header(library)
    assert symbol_text(pages(library, found), found).startswith(b"FUNC 1000")
    assert library.headers([NSS], Trace()) == {}


def test_page_files_that_cannot_be_asked_fail_only_their_module(house: House) -> None:
    header(house.process())
    house.page_files.away = CouldNotAsk("storage is away")
    found = house.process().headers([XUL, NSS], Trace())
    assert isinstance(found[XUL], Header)
    assert found[NSS] == Missing("unreachable", "storage is away")


def test_pages_that_cannot_be_read_keep_the_header(house: House) -> None:
    library = house.process()
    found = header(library)
    house.page_files.away = CouldNotAsk("storage is away")
    assert pages(library, found) == Pages({}, set(), {XUL: Missing("unreachable", "storage is away")})
    house.page_files.away = None
    assert header(library) is found
    assert symbol_text(pages(library, found), found)


def test_one_slow_page_file_does_not_hold_back_the_others(house: House) -> None:
    gate = Event()

    class Slow(MemoryPageFiles):
        def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
            if module == NSS:
                gate.wait(30)
            return super().read(module, spans)

    slow = Slow()
    slow.files = house.page_files.files
    house.page_files = slow
    found = house.process(seconds=0.05).headers([NSS, XUL], Trace())
    gate.set()
    assert isinstance(found[XUL], Header)
    assert found[NSS] == Missing("unreachable", "page file did not come in 0.05 s")


def test_a_replaced_module_is_seen_when_its_header_is_asked_for_again(house: House) -> None:
    library = house.process()
    was = header(library)
    house.keep(XUL, functions=5)
    house.store.put_header(XUL, header_of(XUL, 5).raw)
    assert header(library) is was
    house.clock.sleep(TRUST)
    assert header(library).generation == header_of(XUL, 5).generation


@pytest.mark.parametrize(("before", "after"), [("work", "walk"), ("walk", "work")])
def test_library_page_file_replaced_by_a_like_one_gives_no_pages(
    house: House, before: str, after: str
) -> None:
    """The two files differ in the names of functions only, so that the old header fits both."""
    house.page_files.files[XUL] = page_file(sym(XUL, name=before))
    library = house.process()
    was = header(library)
    house.page_files.files[XUL] = page_file(sym(XUL, name=after))
    assert pages(library, was) == Pages({}, {XUL}, {})


@pytest.mark.parametrize("away", [False, True], ids=["store", "no store"])
def test_a_page_file_replaced_between_header_and_pages_starts_over(house: House, away: bool) -> None:
    library = house.process(StoreIsAway() if away else None)
    was = header(library)
    house.keep(XUL, functions=5)
    assert pages(library, was) == Pages({}, {XUL}, {})
    now = header(library)
    assert now.generation == header_of(XUL, 5).generation
    assert symbol_text(pages(library, now), now).startswith(b"FUNC 1000")


def test_a_page_file_deleted_between_header_and_pages_is_cold(house: House) -> None:
    library = house.process()
    found = header(library)
    house.page_files.delete(XUL)
    assert pages(library, found) == Pages({}, {XUL}, {})
    assert library.headers([XUL], Trace()) == {}


def test_a_page_file_that_is_damaged_gives_no_page(house: House) -> None:
    library = house.process()
    found = header(library)
    start, end = found.span(page(found))
    raw = house.page_files.files[XUL]
    house.page_files.files[XUL] = raw[:start] + bytes(end - start) + raw[end:]
    assert pages(library, found) == Pages({}, {XUL}, {})


def test_a_page_in_the_store_that_is_damaged_is_read_from_the_page_file(house: House) -> None:
    library = house.process()
    found = header(library)
    key = PageKey(XUL, found.generation, page(found))
    house.store.put_pages({key: b"damaged"})
    assert symbol_text(pages(library, found), found).startswith(b"FUNC 1000")
    assert house.store.pages([key])[key] != b"damaged"


def test_the_name_inside_may_be_another(house: House) -> None:
    house.page_files.files[NSS] = house.page_files.files[XUL]
    library = house.process()
    found = header(library, NSS)
    answer = library.pages([(NSS, found, page(found))], Trace())
    assert symbol_text(answer, found)
    assert house.store.pages([PageKey(NSS, found.generation, page(found))])


def test_headers_beyond_the_bound_are_unreachable_and_not_read(house: House) -> None:
    library = house.process()
    header(library)
    house.keep(NSS)
    cold = [ObjectId(f"{i}.so", "0" * 33) for i in range(3)]
    found = library.headers([*cold, NSS, XUL], Trace(), 2)
    assert isinstance(found.pop(XUL), Header)
    assert list(found) == [cold[2], NSS]
    assert all(isinstance(one, Missing) and one.kind == "unreachable" for one in found.values())
    assert "more than 2 modules of this request" in str(found[NSS])


def test_library_pages_that_take_too_much_memory_are_too_much(
    house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    filed = house.process()
    found = header(filed)
    monkeypatch.setattr(library_module, "MAX_OPEN_BYTES", 50)
    with pytest.raises(TooMuch, match="more than 50 bytes"):
        pages(filed, found)
    monkeypatch.undo()
    pages(filed, found)
    monkeypatch.setattr(library_module, "MAX_OPEN_BYTES", 50)
    assert symbol_text(pages(filed, found), found)
    with pytest.raises(TooMuch, match="more than 50 bytes"):
        pages(house.process(), found)
