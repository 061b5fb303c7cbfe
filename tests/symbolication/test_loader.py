from __future__ import annotations

from collections.abc import Sequence
from threading import Event

import pytest

from tecken.errors import TooLarge, Unavailable
from tecken.storage.backends.memory import MemoryPageFiles
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageKey, PageStore
from tecken.symbolication import loader as library_module
from tecken.symbolication.loader import Pages, SymbolLoader
from tecken.symbolication.memory_cache import HeaderCache, PageCache
from tecken.symbolication.page_reader import PageFileReader
from tecken.symbolication.trace import Tiers, Trace
from tecken.symbols.ids import ObjectId
from tecken.symbols.pagefile.file import Header, Section
from tests.support.clock import Clock
from tests.symbolication.conversion.memory import StoreIsAway
from tests.symbolication.samples import MIB, header_of, of_version_1, page_file, page_file_of_version_2, sym

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
TRUST = 30.0
pytestmark = pytest.mark.usefixtures("each_form")


class Rig:
    """Store and page files that several simulated processes share."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.store = MemoryPageStore(MIB)
        self.page_files = MemoryPageFiles()
        self.keep(XUL)

    def keep(self, module: ObjectId, functions: int = 3) -> None:
        self.page_files.files[module] = page_file(sym(module, functions))

    def process(self, store: PageStore | None = None, seconds: float = 10) -> SymbolLoader:
        reader = PageFileReader(self.page_files, seconds=seconds)
        headers = HeaderCache(MIB, lambda: TRUST, self.clock)
        return SymbolLoader(store or self.store, reader, headers, PageCache(MIB))


@pytest.fixture
def rig() -> Rig:
    return Rig()


def header(library: SymbolLoader, module: ObjectId = XUL) -> Header:
    found = library.headers([module], Trace())[module]
    assert isinstance(found, Header)
    return found


def page(found: Header, offset: int = 0x1000) -> int:
    number = found.page_for(Section.SYMBOLS, offset)
    assert number is not None
    return number


def pages(library: SymbolLoader, found: Header, trace: Trace | None = None) -> Pages:
    return library.pages([(XUL, found, page(found))], trace or Trace())


def symbol_text(answer: Pages, found: Header) -> bytes:
    return found.unpack(answer.found[found.generation, page(found)]).text(0)


def test_headers_come_from_page_file_store_and_process(rig: Rig) -> None:
    first, second = rig.process(), rig.process()
    for library, tier in ((first, "page_file"), (first, "process"), (second, "store"), (second, "process")):
        trace = Trace()
        (found,) = library.headers([XUL], trace).values()
        assert isinstance(found, Header)
        assert found.generation == header_of(XUL).generation
        assert trace.headers == Tiers(**{tier: 1})


def test_pages_come_from_page_file_store_and_process(rig: Rig) -> None:
    first, second = rig.process(), rig.process()
    for library, tier in ((first, "page_file"), (first, "process"), (second, "store"), (second, "process")):
        trace = Trace()
        found = header(library)
        assert symbol_text(pages(library, found, trace), found).startswith(b"FUNC 1000")
        assert trace.pages == Tiers(**{tier: 1})


def test_headers_and_pages_in_memory_read_nothing(rig: Rig) -> None:
    library = rig.process()
    pages(library, header(library))
    trace = Trace()
    pages(library, header(library), trace)
    assert trace.store.count == 0
    assert trace.downloads == {}


def test_trace_request_has_its_cost(rig: Rig) -> None:
    trace = Trace()
    library = rig.process()
    (found,) = library.headers([XUL], trace).values()
    assert isinstance(found, Header)
    library.pages([(XUL, found, page(found))], trace)
    assert (trace.store.count, trace.store.hits) == (2, 0)
    assert trace.downloads[XUL].count == 2
    start, end = found.span(page(found))
    assert trace.downloads[XUL].size == len(found.raw) + end - start
    assert trace.parse[XUL] > 0


def test_headers_without_page_file_are_cold(rig: Rig) -> None:
    assert rig.process().headers([NSS], Trace()) == {}


def test_headers_page_file_of_other_version_is_cold(rig: Rig) -> None:
    for raw in (b"", b"something else" * 100, rig.page_files.files[XUL][:50]):
        rig.page_files.files[XUL] = raw
        assert rig.process().headers([XUL], Trace()) == {}


def test_headers_malformed_entry_in_the_store_is_ignored(rig: Rig) -> None:
    rig.store.put_header(XUL, b"TKNPAGES of another version")
    header(rig.process())
    assert rig.store.headers([XUL]) == {XUL: header_of(XUL).raw}


def test_headers_version_1_entries_are_cold(rig: Rig) -> None:
    old = rig.page_files.files[XUL]
    rig.page_files.files[XUL] = of_version_1(old)
    rig.store.put_header(XUL, of_version_1(header_of(XUL).raw))
    assert rig.process().headers([XUL], Trace()) == {}


def test_headers_version_2_page_file_answers_and_is_renewed(rig: Rig) -> None:
    rig.page_files.files[XUL] = page_file_of_version_2(sym(XUL))
    rig.keep(NSS)
    renewed: list[ObjectId] = []
    for _ in range(2):
        # The first process reads the page files, the second one the store.
        reader = PageFileReader(rig.page_files)
        headers = HeaderCache(MIB, lambda: TRUST, rig.clock)
        loader = SymbolLoader(rig.store, reader, headers, PageCache(MIB), renew=renewed.extend)
        loader.headers([XUL, NSS], Trace())
        found = header(loader)
        pages = loader.pages([(XUL, found, page(found))], Trace())
        (kept,) = pages.found.values()
        assert found.unpack(kept).text(0) == b"FUNC 1000 10 0 work0\n1000 10 1 0"
    assert renewed == [XUL, XUL]


def test_headers_missing_marker_is_returned(rig: Rig) -> None:
    marker = Missing("malformed", "no MODULE record")
    rig.store.put_missing(NSS, marker, 60)
    assert rig.process().headers([NSS, XUL], Trace())[NSS] == marker


def test_loader_without_the_store_reads_page_files(rig: Rig) -> None:
    library = rig.process(StoreIsAway())
    found = header(library)
    assert symbol_text(pages(library, found), found).startswith(b"FUNC 1000")
    assert library.headers([NSS], Trace()) == {}


def test_headers_unavailable_page_file_fails_alone(rig: Rig) -> None:
    header(rig.process())
    rig.page_files.outage = Unavailable("storage is away")
    found = rig.process().headers([XUL, NSS], Trace())
    assert isinstance(found[XUL], Header)
    assert found[NSS] == Missing("unreachable", "storage is away")


def test_pages_unreadable_keep_the_header(rig: Rig) -> None:
    library = rig.process()
    found = header(library)
    rig.page_files.outage = Unavailable("storage is away")
    assert pages(library, found) == Pages({}, set(), {XUL: Missing("unreachable", "storage is away")})
    rig.page_files.outage = None
    assert header(library) is found
    assert symbol_text(pages(library, found), found)


def test_headers_slow_page_file_fails_alone(rig: Rig) -> None:
    gate = Event()

    class Slow(MemoryPageFiles):
        def read(self, module: ObjectId, spans: Sequence[tuple[int, int]]) -> list[bytes]:
            if module == NSS:
                gate.wait(30)
            return super().read(module, spans)

    slow = Slow()
    slow.files = rig.page_files.files
    rig.page_files = slow
    found = rig.process(seconds=0.05).headers([NSS, XUL], Trace())
    gate.set()
    assert isinstance(found[XUL], Header)
    assert found[NSS] == Missing("unreachable", "page file did not come in 0.05 s")


def test_headers_expired_entry_shows_the_replacement(rig: Rig) -> None:
    library = rig.process()
    was = header(library)
    rig.keep(XUL, functions=5)
    rig.store.put_header(XUL, header_of(XUL, 5).raw)
    assert header(library) is was
    rig.clock.sleep(TRUST)
    assert header(library).generation == header_of(XUL, 5).generation


@pytest.mark.parametrize(("before", "after"), [("work", "walk"), ("walk", "work")])
def test_pages_of_a_similar_replacement_are_not_used(rig: Rig, before: str, after: str) -> None:
    """Use two files that differ in names of functions only, so that the former header fits both."""
    rig.page_files.files[XUL] = page_file(sym(XUL, name=before))
    library = rig.process()
    was = header(library)
    rig.page_files.files[XUL] = page_file(sym(XUL, name=after))
    assert pages(library, was) == Pages({}, {XUL}, {})


@pytest.mark.parametrize("away", [False, True], ids=["store", "no store"])
def test_pages_replaced_after_the_header_are_reported(rig: Rig, away: bool) -> None:
    library = rig.process(StoreIsAway() if away else None)
    was = header(library)
    rig.keep(XUL, functions=5)
    assert pages(library, was) == Pages({}, {XUL}, {})
    new_header = header(library)
    assert new_header.generation == header_of(XUL, 5).generation
    assert symbol_text(pages(library, new_header), new_header).startswith(b"FUNC 1000")


def test_pages_deleted_after_the_header_make_the_module_cold(rig: Rig) -> None:
    library = rig.process()
    found = header(library)
    rig.page_files.delete(XUL)
    assert pages(library, found) == Pages({}, {XUL}, {})
    assert library.headers([XUL], Trace()) == {}


def test_pages_of_a_damaged_page_file_are_not_returned(rig: Rig) -> None:
    library = rig.process()
    found = header(library)
    start, end = found.span(page(found))
    raw = rig.page_files.files[XUL]
    rig.page_files.files[XUL] = raw[:start] + bytes(end - start) + raw[end:]
    assert pages(library, found) == Pages({}, {XUL}, {})


def test_pages_damaged_in_the_store_come_from_the_page_file(rig: Rig) -> None:
    library = rig.process()
    found = header(library)
    key = PageKey(XUL, found.generation, page(found))
    rig.store.put_pages({key: b"damaged"})
    assert symbol_text(pages(library, found), found).startswith(b"FUNC 1000")
    assert rig.store.pages([key])[key] != b"damaged"


def test_pages_beside_a_damaged_one_come_from_the_page_file(rig: Rig) -> None:
    rig.keep(XUL, functions=2000)
    found = header(rig.process())
    wanted = [(XUL, found, number) for number in found.pages(Section.SYMBOLS)[:3]]
    whole = rig.process().pages(wanted, Trace())
    rig.store.put_pages({PageKey(XUL, found.generation, 1): b"damaged"})
    trace = Trace()
    repaired = rig.process().pages(wanted, trace)
    assert trace.pages == Tiers(page_file=3)
    texts = [
        [found.unpack(pages.found[found.generation, number]).text(0) for number in range(3)]
        for pages in (whole, repaired)
    ]
    assert texts[0] == texts[1]


def test_headers_with_another_debug_file_are_accepted(rig: Rig) -> None:
    rig.page_files.files[NSS] = rig.page_files.files[XUL]
    library = rig.process()
    found = header(library, NSS)
    answer = library.pages([(NSS, found, page(found))], Trace())
    assert symbol_text(answer, found)
    assert rig.store.pages([PageKey(NSS, found.generation, page(found))])


def test_headers_over_the_bound_are_unreachable(rig: Rig) -> None:
    library = rig.process()
    header(library)
    rig.keep(NSS)
    cold = [ObjectId(f"{i}.so", "0" * 33) for i in range(3)]
    found = library.headers([*cold, NSS, XUL], Trace(), 2)
    assert isinstance(found.pop(XUL), Header)
    assert list(found) == [cold[2], NSS]
    assert all(isinstance(entry, Missing) and entry.kind == "unreachable" for entry in found.values())
    assert "more than 2 modules of this request" in str(found[NSS])


def test_pages_over_the_memory_bound_raise(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    filed = rig.process()
    found = header(filed)
    with monkeypatch.context() as patch:
        patch.setattr(library_module, "MAX_OPEN_BYTES", 50)
        with pytest.raises(TooLarge, match="more than 50 bytes"):
            pages(filed, found)
    pages(filed, found)
    monkeypatch.setattr(library_module, "MAX_OPEN_BYTES", 50)
    assert symbol_text(pages(filed, found), found)
    with pytest.raises(TooLarge, match="more than 50 bytes"):
        pages(rig.process(), found)
