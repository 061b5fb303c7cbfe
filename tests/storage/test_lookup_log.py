from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import redis

from tecken.errors import Absent, CouldNotAsk, Refused, SwitchedOff, TeckenError, TooMuch
from tecken.redisclient import client
from tecken.redisclient.guard import RedisGuard
from tecken.storage import keys
from tecken.storage.lookup_log import Answer, Journal
from tecken.storage.search import Said
from tecken.symbols.ids import ObjectId
from tests.support.redis_server import free_port

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")


@pytest.fixture
def connection() -> Iterator[redis.Redis]:
    with client(f"{os.environ['REDIS_URL']}/0", timeout=5, connect_timeout=5) as connected:
        connected.flushdb()
        yield connected


@pytest.fixture
def journal(connection: redis.Redis) -> Journal:
    return Journal(connection, RedisGuard("redis-cache"), lambda: 600.0)


def test_lookup_log_last_returns_the_result_of_each_source(journal: Journal, connection: redis.Redis) -> None:
    said = [
        Said("ours", Absent("not there"), 0.5),
        Said("first", SwitchedOff("first is switched off"), 0.0),
        Said("second", CouldNotAsk("second: 500"), 1.5),
        Said("third", TooMuch("of 9 GB"), 0.25),
        Said("fourth", None, 2.0),
    ]
    assert journal.last(XUL) is None
    journal.note(XUL, said)
    look = journal.last(XUL)
    assert look is not None
    assert datetime.now(UTC) - look.at < timedelta(minutes=1)
    assert look.answers == (
        Answer("ours", "absent", "not there", 0.5),
        Answer("first", "off", "first is switched off", 0.0),
        Answer("second", "unreachable", "second: 500", 1.5),
        Answer("third", "refused", "of 9 GB", 0.25),
        Answer("fourth", "there", "", 2.0),
    )
    assert 0 < connection.ttl(keys.looked(XUL)) <= 600


def test_lookup_log_value_of_another_type_is_could_not_ask(journal: Journal, connection: redis.Redis) -> None:
    connection.hset(keys.looked(XUL), "a", "b")
    with pytest.raises(CouldNotAsk, match="answered with"):
        journal.last(XUL)


def test_lookup_log_note_without_redis_cache_does_not_raise() -> None:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        journal = Journal(refused, RedisGuard("redis-cache"), lambda: 600.0)
        journal.note(XUL, [])
        journal.note(XUL, [])
        with pytest.raises(CouldNotAsk):
            journal.last(XUL)


def test_lookup_log_absent_with_all_sources_absent_returns_the_module(journal: Journal) -> None:
    journal.note(XUL, [Said("ours", Absent("not there"), 0.5), Said("theirs", Absent("404"), 0.5)])
    assert list(journal.absent([NSS, XUL], ["ours", "theirs"])) == [XUL]


@pytest.mark.parametrize(
    "answer",
    [None, SwitchedOff("off"), CouldNotAsk("500"), TooMuch("of 9 GB")],
    ids=lambda it: type(it).__name__,
)
def test_lookup_log_absent_with_another_result_returns_nothing(
    journal: Journal, answer: TeckenError | None
) -> None:
    journal.note(XUL, [Said("ours", Absent("not there"), 0.5), Said("theirs", answer, 0.5)])
    assert journal.absent([XUL], ["ours", "theirs"]) == {}


def test_lookup_log_absent_with_a_refusal_returns_the_module(journal: Journal) -> None:
    journal.note(XUL, [Said("ours", Absent("not there"), 0.5), Said("theirs", Refused("403"), 0.5)])
    assert list(journal.absent([XUL], ["ours", "theirs"])) == [XUL]


def test_lookup_log_absent_with_an_unsearched_source_returns_nothing(journal: Journal) -> None:
    journal.note(XUL, [Said("ours", Absent("not there"), 0.5)])
    assert journal.absent([XUL], ["ours", "a new one"]) == {}


def test_lookup_log_absent_after_removal_returns_nothing(journal: Journal) -> None:
    journal.note(XUL, [Said("ours", Absent("not there"), 0.5)])
    journal.forget(XUL)
    assert journal.absent([XUL], ["ours"]) == {}


def test_lookup_log_absent_without_redis_returns_nothing() -> None:
    with client(f"redis://127.0.0.1:{free_port()}", timeout=1, connect_timeout=1) as refused:
        assert Journal(refused, RedisGuard("redis-cache"), lambda: 600.0).absent([XUL], ["ours"]) == {}


def test_absent_in_one_spelling_says_nothing_of_another(journal: Journal) -> None:
    right, wrong = ObjectId("Xul.pdb", XUL.debug_id), ObjectId("XUL.PDB", XUL.debug_id)
    journal.note(wrong, [Said("ours", Absent("not there"), 0.5)])
    assert journal.absent([right], ["ours"]) == {}
    assert list(journal.absent([wrong], ["ours"])) == [wrong]
    journal.forget(right)
    assert journal.absent([wrong], ["ours"]) == {}


def test_last_of_a_look_without_a_spelling_is_read(journal: Journal, connection: redis.Redis) -> None:
    """A former release wrote such."""
    connection.set(keys.looked(XUL), b'[1790000000.0,["ours","absent","not there",0.5]]')
    look = journal.last(XUL)
    assert look is not None
    assert look.answers == (Answer("ours", "absent", "not there", 0.5),)
    assert journal.absent([XUL], ["ours"]) == {}
