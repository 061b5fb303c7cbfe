from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from threading import Event

import pytest
import redis

from tecken.breaker import Breaker
from tecken.errors import Absent, CouldNotAsk, StoreAway
from tecken.redisclient import client
from tecken.storage import keys
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles, MemorySymbols
from tecken.storage.lookup_log import Journal
from tecken.storage.port import FileKey, Stored, symbol_file
from tecken.storage.presence_cache import Known, Lifetimes, Remembered, Unknown
from tecken.storage.search import Search, SourceResult
from tecken.storage.upstreams.switched import Switched
from tecken.store.memory import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.queue import CeleryCold
from tecken.symbolication.conversion.status import Ready
from tecken.symbolication.explain import Cached, Explainer, Marked
from tecken.symbols.ids import ModuleKey
from tecken.symbols.pagefile.file import Header
from tests.symbolication.conversion.memory import MemoryBoard, StoreIsAway
from tests.symbolication.samples import MIB, header_of, of_version_1

XUL = ModuleKey("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
ABSENT = Missing("absent", "nobody has it")
URL = "https://symbols.example/"


def no_code_id(code_file: str, code_id: str, *, with_try: bool) -> ModuleKey:
    raise Absent(f"no upload has {code_file}/{code_id}, with try files: {with_try}")


class House:
    def __init__(self, connection: redis.Redis) -> None:
        breaker = Breaker("redis-cache")
        self.regular, self.of_try = MemoryFiles("regular"), MemoryFiles("try")
        self.page_files, self.board = MemoryPageFiles(), MemoryBoard()
        self.store: PageStore = MemoryPageStore(MIB)
        self.journal = Journal(connection, breaker, lambda: 600.0)
        self.known = Known(connection, breaker, lambda: Lifetimes(100, 10, 1))
        self.off: list[str] = []
        self.sent: list[ModuleKey] = []
        self.queue_away = False

    def send(self, modules: Sequence[ModuleKey], *, first: bool) -> None:
        if self.queue_away:
            raise CouldNotAsk("the queue does not answer")
        self.sent.extend(modules)

    def explainer(self, regular: MemoryFiles | None = None, seconds: float = 30.0) -> Explainer:
        return Explainer(
            search=Search(
                regular=regular or self.regular,
                try_files=self.of_try,
                upstreams=[Switched(MemorySymbols(name=URL), URL, lambda: self.off)],
                presence=self.known,
                find_by_code_id=no_code_id,
            ),
            page_files=self.page_files,
            store=self.store,
            board=self.board,
            journal=self.journal,
            known=self.known,
            cold=CeleryCold(self.board, self.send, lambda: 64),
            seconds=seconds,
        )


@pytest.fixture
def house() -> Iterator[House]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield House(connected)


def test_a_module_that_nobody_ever_asked_for(house: House) -> None:
    told = house.explainer().explain(XUL)
    assert str(told.key) == f"{XUL}/xul.sym"
    assert (told.regular.name, told.regular.now) == ("regular", None)
    assert (told.of_try.name, told.of_try.now) == ("try", None)
    assert told.upstreams == ((URL, False),)
    assert (told.page_file, told.store) == (None, None)
    nothing = Remembered(Unknown(), None)
    assert told.cache == Cached("idle", None, nothing, nothing, nothing)


def test_a_module_that_is_there(house: House) -> None:
    header = header_of(XUL)
    house.regular.put(symbol_file(XUL), [b"MODULE"])
    house.page_files.write(XUL, [header.raw])
    house.store.put_header(XUL, header.raw)
    house.off.append(URL)
    told = house.explainer().explain(XUL)
    assert isinstance(told.regular.now, Stored)
    assert isinstance(told.page_file, Header)
    assert told.store == len(header.raw)
    assert told.upstreams == ((URL, True),)


def test_explainer_page_file_and_header_of_version_1_are_not_there(house: House) -> None:
    old = of_version_1(header_of(XUL).raw)
    house.page_files.write(XUL, [old])
    house.store.put_header(XUL, old)
    told = house.explainer().explain(XUL)
    assert (told.page_file, told.store) == (None, None)


def test_a_module_that_nobody_has(house: House) -> None:
    house.store.put_missing(XUL, ABSENT, 600)
    house.journal.note(XUL, [SourceResult(URL, Absent("404"), 0.5)])
    name = keys.upstream_file(symbol_file(XUL))
    house.known.settle(name, house.known.lease(name), None)
    told = house.explainer().explain(XUL)
    assert isinstance(told.store, Marked)
    assert told.store.missing == ABSENT
    assert told.store.seconds is not None
    assert 0 < told.store.seconds <= 600
    assert isinstance(told.cache, Cached)
    assert told.cache.upstream.fact is None
    assert told.cache.look is not None
    assert [answer.source for answer in told.cache.look.answers] == [URL]


def test_each_part_may_be_away_alone(house: House) -> None:
    house.store = StoreIsAway()
    house.regular.away = house.page_files.away = house.board.away = CouldNotAsk("away")
    told = house.explainer().explain(XUL)
    assert isinstance(told.store, StoreAway)
    assert [str(part) for part in (told.regular.now, told.page_file, told.cache)] == ["away"] * 3
    assert told.of_try.now is None


def test_a_part_that_answers_too_late(house: House) -> None:
    done = Event()

    class Late(MemoryFiles):
        def stat(self, key: FileKey) -> Stored:
            done.wait(30)
            return super().stat(key)

    told = house.explainer(Late(), seconds=0.2).explain(XUL)
    done.set()
    assert isinstance(told.regular.now, CouldNotAsk)
    assert str(told.regular.now) == "no answer in 0.2 s"


def test_look_again_forgets_each_no_and_asks_a_worker_once(house: House) -> None:
    names = [each(symbol_file(XUL)) for each in (keys.regular_file, keys.try_file, keys.upstream_file)]
    for name in names:
        house.known.settle(name, house.known.lease(name), None)
    house.store.put_missing(XUL, ABSENT, 600)
    house.board.states[XUL] = ABSENT
    house.board.attempts[XUL] = 3
    explainer = house.explainer()
    explainer.look_again(XUL)
    explainer.look_again(XUL)
    assert house.sent == [XUL]
    assert house.board.states == {XUL: "asked"}
    assert not house.board.attempts
    assert house.store.headers([XUL]) == {}
    assert house.known.look(names) == [Unknown()] * 3


def test_look_again_without_a_store(house: House) -> None:
    house.store = StoreIsAway()
    house.board.states[XUL] = Ready()
    house.explainer().look_again(XUL)
    assert house.sent == [XUL]


def test_look_again_says_when_no_worker_can_be_asked(house: House) -> None:
    house.queue_away = True
    with pytest.raises(CouldNotAsk, match="the queue does not answer"):
        house.explainer().look_again(XUL)
    assert house.board.states == {}
