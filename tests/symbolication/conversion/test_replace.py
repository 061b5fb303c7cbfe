from __future__ import annotations

import pytest

from tecken.errors import Unavailable
from tecken.storage.backends.memory import MemoryPageFiles
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import ModuleInvalidator
from tecken.symbolication.conversion.status import Ready
from tecken.symbols.ids import ObjectId
from tests.symbolication.conversion.memory import MemoryConversionTracker, StoreIsAway
from tests.symbolication.samples import MIB, header_of

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


class Rig:
    def __init__(self) -> None:
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB)
        self.tracker = MemoryConversionTracker()
        self.published: list[ObjectId] = []
        self.sent: list[ObjectId] = []
        self.queue_away = False
        for module in (XUL, NSS):
            self.page_files.files[module] = b"pages"
            self.store.put_header(module, header_of(module).raw)
            self.tracker.states[module] = Ready()
            self.tracker.attempts[module] = 2

    def send(self, module: ObjectId) -> None:
        if self.queue_away:
            raise Unavailable("the queue does not answer")
        self.sent.append(module)

    def replaced(self, module: ObjectId, store: PageStore | None = None) -> None:
        ModuleInvalidator(
            page_files=self.page_files,
            store=store or self.store,
            tracker=self.tracker,
            publish=self.published.append,
            send=self.send,
        ).invalidate(module)


@pytest.fixture
def rig() -> Rig:
    return Rig()


def test_replacer_new_symbol_file_removes_page_file_and_header(rig: Rig) -> None:
    rig.replaced(XUL)
    assert list(rig.page_files.files) == [NSS]
    assert list(rig.store.headers([XUL, NSS])) == [NSS]
    assert rig.tracker.get([XUL, NSS]) == ["idle", Ready()]
    assert dict(rig.tracker.attempts) == {NSS: 2}


def test_replacer_new_symbol_file_publishes_and_sends_a_job(rig: Rig) -> None:
    rig.replaced(XUL)
    assert rig.published == [XUL]
    assert rig.sent == [XUL]


def test_replacer_missing_module_loses_its_marker(rig: Rig) -> None:
    rig.page_files.delete(XUL)
    rig.store.put_missing(XUL, Missing("absent", "no source has it"), 600)
    rig.tracker.states[XUL] = Missing("absent", "no source has it")
    rig.replaced(XUL)
    assert rig.store.headers([XUL]) == {}
    assert rig.tracker.get([XUL]) == ["idle"]


def test_replacer_during_a_conversion_keeps_its_claim(rig: Rig) -> None:
    rig.tracker.states[XUL] = "started"
    rig.replaced(XUL)
    assert rig.tracker.get([XUL]) == ["started"]


def test_replacer_without_redis_succeeds(rig: Rig) -> None:
    rig.tracker.away = Unavailable("redis-cache does not answer")
    rig.queue_away = True
    rig.replaced(XUL, StoreIsAway())
    assert list(rig.page_files.files) == [NSS]
    assert rig.published == [XUL]


def test_replacer_undeletable_page_file_raises(rig: Rig) -> None:
    rig.page_files.outage = Unavailable("storage is away")
    with pytest.raises(Unavailable, match="storage is away"):
        rig.replaced(XUL)
    assert rig.sent == []
