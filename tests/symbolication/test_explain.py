from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from threading import Event

import pytest
import redis

from tecken.errors import NotFound, StoreUnavailable, Unavailable
from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.storage.backends.memory import MemoryFiles, MemoryPageFiles, MemorySymbols
from tecken.storage.lookup_log import LookupLog, SourceResult
from tecken.storage.port import ElfPart, Stored
from tecken.storage.presence_cache import (
    PresenceCache,
    PresenceLifetimes,
    Remembered,
    Unknown,
    regular_file_key,
    try_file_key,
    upstream_file_key,
)
from tecken.storage.search import Search
from tecken.storage.source_chain import SwitchableSource
from tecken.store.page_store import MemoryPageStore
from tecken.store.port import Missing, PageStore
from tecken.symbolication.conversion.queue import CeleryConversionQueue
from tecken.symbolication.conversion.status import Ready
from tecken.symbolication.explain import Cached, Explainer, Marked
from tecken.symbols.ids import ObjectId
from tecken.symbols.layouts import FileKey, symbol_file
from tecken.symbols.pagefile.file import Header
from tests.symbolication.conversion.memory import MemoryConversionTracker, StoreIsAway
from tests.symbolication.samples import MIB, header_of, of_version_1

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
ABSENT = Missing("absent", "no source has it")
URL = "https://symbols.example/"


def no_code_id(code_file: str, code_id: str, *, with_try: bool) -> ObjectId:
    raise NotFound(f"no upload has {code_file}/{code_id}, with try files: {with_try}")


def no_build_id(build_id: str, part: ElfPart, *, try_symbols: bool) -> FileKey:
    raise NotFound(f"no {part.value} of {build_id}")


class Rig:
    def __init__(self, connection: redis.Redis) -> None:
        guard = RedisGuard("redis-cache")
        self.regular, self.of_try = MemoryFiles("regular"), MemoryFiles("try")
        self.page_files, self.tracker = MemoryPageFiles(), MemoryConversionTracker()
        self.store: PageStore = MemoryPageStore(MIB)
        self.journal = LookupLog(connection, guard, lambda: 600.0)
        self.known = PresenceCache(connection, guard, lambda: PresenceLifetimes(100, 10, 1))
        self.off: list[str] = []
        self.sent: list[ObjectId] = []
        self.queue_away = False

    def send(self, modules: Sequence[ObjectId], *, first: bool) -> None:
        if self.queue_away:
            raise Unavailable("the queue does not answer")
        self.sent.extend(modules)

    def explainer(self, regular: MemoryFiles | None = None, seconds: float = 30.0) -> Explainer:
        return Explainer(
            search=Search(
                regular=regular or self.regular,
                try_files=self.of_try,
                upstreams=[SwitchableSource(MemorySymbols(name=URL), URL, lambda: self.off)],
                presence=self.known,
                find_by_code_id=no_code_id,
                find_by_build_id=no_build_id,
            ),
            page_files=self.page_files,
            store=self.store,
            tracker=self.tracker,
            lookup_log=self.journal,
            presence_cache=self.known,
            queue=CeleryConversionQueue(self.tracker, self.send, lambda: 64),
            seconds=seconds,
        )


@pytest.fixture
def rig() -> Iterator[Rig]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield Rig(connected)


def test_explain_unknown_module_has_no_entries(rig: Rig) -> None:
    explanation = rig.explainer().explain(XUL)
    assert str(explanation.key) == f"{XUL}/xul.sym"
    assert (explanation.regular.name, explanation.regular.now) == ("regular", None)
    assert (explanation.of_try.name, explanation.of_try.now) == ("try", None)
    assert explanation.upstreams == ((URL, False, True),)
    assert (explanation.page_file, explanation.store) == (None, None)
    nothing = Remembered(Unknown(), None)
    assert explanation.cache == Cached("idle", None, nothing, nothing, nothing)


def test_explain_stored_module_shows_every_part(rig: Rig) -> None:
    header = header_of(XUL)
    rig.regular.put(symbol_file(XUL), [b"MODULE"])
    rig.page_files.write(XUL, [header.raw])
    rig.store.put_header(XUL, header.raw)
    rig.off.append(URL)
    explanation = rig.explainer().explain(XUL)
    assert isinstance(explanation.regular.now, Stored)
    assert isinstance(explanation.page_file, Header)
    assert explanation.store == len(header.raw)
    assert explanation.upstreams == ((URL, True, True),)


def test_explain_version_1_entries_are_not_shown(rig: Rig) -> None:
    old = of_version_1(header_of(XUL).raw)
    rig.page_files.write(XUL, [old])
    rig.store.put_header(XUL, old)
    explanation = rig.explainer().explain(XUL)
    assert (explanation.page_file, explanation.store) == (None, None)


def test_explain_absent_module_shows_marker_and_search(rig: Rig) -> None:
    rig.store.put_missing(XUL, ABSENT, 600)
    rig.journal.note(XUL, [SourceResult(URL, NotFound("404"), 0.5)])
    name = upstream_file_key(symbol_file(XUL))
    rig.known.store(name, rig.known.lease(name), None)
    explanation = rig.explainer().explain(XUL)
    assert isinstance(explanation.store, Marked)
    assert explanation.store.missing == ABSENT
    assert explanation.store.seconds is not None
    assert 0 < explanation.store.seconds <= 600
    assert isinstance(explanation.cache, Cached)
    assert explanation.cache.upstream.fact is None
    assert explanation.cache.look is not None
    assert [answer.source for answer in explanation.cache.look.results] == [URL]


def test_explain_unavailable_part_does_not_hide_others(rig: Rig) -> None:
    rig.store = StoreIsAway()
    rig.regular.outage = rig.page_files.outage = rig.tracker.away = Unavailable("away")
    explanation = rig.explainer().explain(XUL)
    assert isinstance(explanation.store, StoreUnavailable)
    assert [str(part) for part in (explanation.regular.now, explanation.page_file, explanation.cache)] == [
        "away"
    ] * 3
    assert explanation.of_try.now is None


def test_explain_slow_part_is_reported(rig: Rig) -> None:
    done = Event()

    class Late(MemoryFiles):
        def stat(self, key: FileKey) -> Stored:
            done.wait(30)
            return super().stat(key)

    explanation = rig.explainer(Late(), seconds=0.2).explain(XUL)
    done.set()
    assert isinstance(explanation.regular.now, Unavailable)
    assert str(explanation.regular.now) == "no answer in 0.2 s"


def test_look_again_removes_markers_and_sends_one_job(rig: Rig) -> None:
    names = [each(symbol_file(XUL)) for each in (regular_file_key, try_file_key, upstream_file_key)]
    for name in names:
        rig.known.store(name, rig.known.lease(name), None)
    rig.store.put_missing(XUL, ABSENT, 600)
    rig.tracker.states[XUL] = ABSENT
    rig.tracker.attempts[XUL] = 3
    explainer = rig.explainer()
    explainer.look_again(XUL)
    explainer.look_again(XUL)
    assert rig.sent == [XUL]
    assert rig.tracker.states == {XUL: "asked"}
    assert not rig.tracker.attempts
    assert rig.store.headers([XUL]) == {}
    assert rig.known.get(names) == [Unknown()] * 3


def test_look_again_without_the_store_sends_a_job(rig: Rig) -> None:
    rig.store = StoreIsAway()
    rig.tracker.states[XUL] = Ready()
    rig.explainer().look_again(XUL)
    assert rig.sent == [XUL]


def test_look_again_without_a_queue_raises(rig: Rig) -> None:
    rig.queue_away = True
    with pytest.raises(Unavailable, match="the queue does not answer"):
        rig.explainer().look_again(XUL)
    assert rig.tracker.states == {}
