from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from tecken.errors import AccessDenied, NotFound, SourceDisabled, TeckenError, TooLarge, Unavailable
from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.storage.lookup_log import LookupLog, RecordedResult, SourceResult, lookup_key
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
OURS = SourceResult("ours", NotFound("not there"), 0.5)


@pytest.fixture
def connection() -> Iterator[redis.Redis]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield connected


@pytest.fixture
def journal(connection: redis.Redis) -> LookupLog:
    return LookupLog(connection, RedisGuard("redis-cache"), lambda: 600.0)


def test_lookup_log_last_returns_the_result_of_each_source(
    journal: LookupLog, connection: redis.Redis
) -> None:
    said = [
        SourceResult("ours", NotFound("not there"), 0.5),
        SourceResult("first", SourceDisabled("first is switched off"), 0.0),
        SourceResult("second", Unavailable("second: 500"), 1.5),
        SourceResult("third", TooLarge("of 9 GB"), 0.25),
        SourceResult("fourth", None, 2.0),
    ]
    assert journal.last(XUL) is None
    journal.note(XUL, said)
    look = journal.last(XUL)
    assert look is not None
    assert datetime.now(UTC) - look.at < timedelta(minutes=1)
    assert look.results == (
        RecordedResult("ours", "absent", "not there", 0.5),
        RecordedResult("first", "off", "first is switched off", 0.0),
        RecordedResult("second", "unreachable", "second: 500", 1.5),
        RecordedResult("third", "too large", "of 9 GB", 0.25),
        RecordedResult("fourth", "there", "", 2.0),
    )
    assert 0 < connection.ttl(lookup_key(XUL)) <= 600


def test_lookup_log_value_of_another_type_is_could_not_ask(
    journal: LookupLog, connection: redis.Redis
) -> None:
    connection.hset(lookup_key(XUL), "a", "b")
    with pytest.raises(Unavailable, match="answered with"):
        journal.last(XUL)


def test_lookup_log_note_without_redis_cache_does_not_raise() -> None:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        journal = LookupLog(refused, RedisGuard("redis-cache"), lambda: 600.0)
        journal.note(XUL, [])
        journal.note(XUL, [])
        with pytest.raises(Unavailable):
            journal.last(XUL)


def test_lookup_log_absent_with_all_sources_absent_returns_the_module(journal: LookupLog) -> None:
    journal.note(
        XUL, [SourceResult("ours", NotFound("not there"), 0.5), SourceResult("theirs", NotFound("404"), 0.5)]
    )
    assert list(journal.absent([NSS, XUL], ["ours", "theirs"])) == [XUL]


@pytest.mark.parametrize(
    "answer",
    [None, SourceDisabled("off"), Unavailable("500"), TooLarge("of 9 GB")],
    ids=lambda it: type(it).__name__,
)
def test_lookup_log_absent_with_another_result_returns_nothing(
    journal: LookupLog, answer: TeckenError | None
) -> None:
    journal.note(XUL, [OURS, SourceResult("theirs", answer, 0.5)])
    assert journal.absent([XUL], ["ours", "theirs"]) == {}


def test_lookup_log_absent_with_a_refusal_returns_the_module(journal: LookupLog) -> None:
    journal.note(
        XUL,
        [SourceResult("ours", NotFound("not there"), 0.5), SourceResult("theirs", AccessDenied("403"), 0.5)],
    )
    assert list(journal.absent([XUL], ["ours", "theirs"])) == [XUL]


def test_lookup_log_absent_with_an_unsearched_source_returns_nothing(journal: LookupLog) -> None:
    journal.note(XUL, [OURS])
    assert journal.absent([XUL], ["ours", "a new one"]) == {}


def test_lookup_log_absent_after_removal_returns_nothing(journal: LookupLog) -> None:
    journal.note(XUL, [OURS])
    journal.forget(XUL)
    assert journal.absent([XUL], ["ours"]) == {}


def test_lookup_log_absent_without_redis_returns_nothing() -> None:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        assert LookupLog(refused, RedisGuard("redis-cache"), lambda: 600.0).absent([XUL], ["ours"]) == {}


def test_absent_in_one_spelling_says_nothing_of_another(journal: LookupLog) -> None:
    right, wrong = ObjectId("Xul.pdb", XUL.debug_id), ObjectId("XUL.PDB", XUL.debug_id)
    journal.note(wrong, [SourceResult("ours", NotFound("not there"), 0.5)])
    assert journal.absent([right], ["ours"]) == {}
    assert list(journal.absent([wrong], ["ours"])) == [wrong]
    journal.forget(right)
    assert journal.absent([wrong], ["ours"]) == {}


def test_last_of_a_look_without_a_spelling_is_read(journal: LookupLog, connection: redis.Redis) -> None:
    """A former release wrote such."""
    connection.set(lookup_key(XUL), b'[1790000000.0,["ours","absent","not there",0.5]]')
    look = journal.last(XUL)
    assert look is not None
    assert look.results == (RecordedResult("ours", "absent", "not there", 0.5),)
    assert journal.absent([XUL], ["ours"]) == {}
