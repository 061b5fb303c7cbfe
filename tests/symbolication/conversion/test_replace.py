from __future__ import annotations

import pytest

from tecken.errors import CouldNotAsk
from tecken.storage.backends.memory import MemoryPageFiles
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.converter import Replacer
from tecken.symbolication.conversion.status import Ready
from tecken.symbols.ids import ObjectId
from tests.symbolication.conversion.memory import MemoryBoard, StoreIsAway
from tests.symbolication.samples import MIB, header_of

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


class House:
    def __init__(self) -> None:
        self.page_files = MemoryPageFiles()
        self.store = MemoryPageStore(MIB)
        self.board = MemoryBoard()
        self.told: list[ObjectId] = []
        self.sent: list[ObjectId] = []
        self.queue_away = False
        for module in (XUL, NSS):
            self.page_files.files[module] = b"pages"
            self.store.put_header(module, header_of(module).raw)
            self.board.states[module] = Ready()
            self.board.attempts[module] = 2

    def send(self, module: ObjectId) -> None:
        if self.queue_away:
            raise CouldNotAsk("the queue does not answer")
        self.sent.append(module)

    def replaced(self, module: ObjectId, store: PageStore | None = None) -> None:
        Replacer(
            page_files=self.page_files,
            store=store or self.store,
            board=self.board,
            tell=self.told.append,
            send=self.send,
        ).replaced(module)


@pytest.fixture
def house() -> House:
    return House()


def test_nothing_made_of_the_former_symbols_stays(house: House) -> None:
    house.replaced(XUL)
    assert list(house.page_files.files) == [NSS]
    assert list(house.store.headers([XUL, NSS])) == [NSS]
    assert house.board.look([XUL, NSS]) == ["idle", Ready()]
    assert dict(house.board.attempts) == {NSS: 2}


def test_every_process_is_told_and_a_worker_asked(house: House) -> None:
    house.replaced(XUL)
    assert house.told == [XUL]
    assert house.sent == [XUL]


def test_a_module_that_was_missing_is_missing_no_more(house: House) -> None:
    house.page_files.delete(XUL)
    house.store.put_missing(XUL, Missing("absent", "nobody has it"), 600)
    house.board.states[XUL] = Missing("absent", "nobody has it")
    house.replaced(XUL)
    assert house.store.headers([XUL]) == {}
    assert house.board.look([XUL]) == ["idle"]


def test_a_conversion_that_goes_on_is_left_to_notice_by_itself(house: House) -> None:
    house.board.states[XUL] = "started"
    house.replaced(XUL)
    assert house.board.look([XUL]) == ["started"]


def test_whatever_expires_may_be_away(house: House) -> None:
    house.board.away = CouldNotAsk("redis-cache does not answer")
    house.queue_away = True
    house.replaced(XUL, StoreIsAway())
    assert list(house.page_files.files) == [NSS]
    assert house.told == [XUL]


def test_a_page_file_that_may_still_be_there_is_told(house: House) -> None:
    house.page_files.away = CouldNotAsk("storage is away")
    with pytest.raises(CouldNotAsk, match="storage is away"):
        house.replaced(XUL)
    assert house.sent == []
