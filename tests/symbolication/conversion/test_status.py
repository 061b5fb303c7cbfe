from __future__ import annotations

import pytest
import redis

from tecken.errors import CouldNotAsk
from tecken.redisclient.guard import RedisGuard
from tecken.store.port import Missing
from tecken.symbolication.conversion import keys
from tecken.symbolication.conversion.status import Board, Places, Ready, RedisBoard
from tecken.symbols.ids import ObjectId
from tests.support.clock import Clock
from tests.support.redis_server import MUTE_AFTER, RedisServer
from tests.symbolication.conversion.memory import MemoryBoard

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
OTHERS = [ObjectId(f"{i}.so", "0" * 33) for i in range(5)]
MANY = Places(most=100, first=100)


@pytest.fixture(params=["memory", "redis"])
def board(request: pytest.FixtureRequest) -> Board:
    if request.param == "memory":
        return MemoryBoard()
    return RedisBoard(request.getfixturevalue("cache_client"), RedisGuard("redis-cache"))


def test_nobody_was_asked(board: Board) -> None:
    assert board.look([XUL, NSS]) == ["idle", "idle"]


def test_the_first_one_asks(board: Board) -> None:
    assert board.ask([XUL], "one", MANY) == [XUL]
    assert board.ask([XUL, NSS], "one", MANY) == [NSS]
    assert board.look([NSS, XUL]) == ["asked", "asked"]


def test_what_was_withdrawn_is_asked_for_again(board: Board) -> None:
    board.ask([XUL, NSS], "one", MANY)
    board.withdraw([XUL])
    assert board.look([XUL, NSS]) == ["idle", "asked"]
    assert board.ask([XUL], "one", MANY) == [XUL]


@pytest.mark.parametrize("answer", [Ready(), Missing("malformed", "line 1: no MODULE record \u2713")])
def test_an_answer_is_for_all_who_wait(board: Board, answer: Ready | Missing) -> None:
    board.ask([XUL], "one", MANY)
    board.begin(XUL)
    board.finish(XUL, answer, ended=True)
    (state,) = board.look([XUL])
    assert state == answer
    assert type(state) is type(answer)


def test_attempts_count_until_one_ends(board: Board) -> None:
    assert [board.begin(XUL), board.begin(XUL)] == [1, 2]
    board.finish(XUL, Ready(), ended=False)
    assert board.begin(XUL) == 3
    board.finish(XUL, Ready(), ended=True)
    assert board.begin(XUL) == 1


def test_a_turn_shows_that_it_was_taken_up(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask([XUL], "one", MANY)
    cache_client.set(keys.turn(XUL), "somebody", ex=30)
    assert board.look([XUL]) == ["started"]


def test_every_key_expires(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask([XUL, NSS], "one", MANY)
    board.begin(XUL)
    board.finish(XUL, Ready(), ended=False)
    names = cache_client.keys("cold:*")
    assert len(names) == 4
    assert all(cache_client.ttl(name) > 0 for name in names)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_a_server_that_is_away_costs_one_timeout_and_is_asked_again(how: str) -> None:
    clock = Clock()
    with RedisServer() as server:
        client = redis.Redis.from_url(
            server.url, socket_timeout=MUTE_AFTER, socket_connect_timeout=MUTE_AFTER
        )
        board = RedisBoard(client, RedisGuard("redis-cache", clock=clock))
        board.ask([XUL], "one", MANY)
        getattr(server, how)()
        with pytest.raises(CouldNotAsk, match="does not answer"):
            board.look([XUL])
        with pytest.raises(CouldNotAsk, match="not asked"):
            board.look([XUL])
        server.resume() if how == "pause" else server.start()
        clock.sleep(1.0)
        assert board.look([XUL]) in (["asked"], ["idle"])
        client.close()


def test_a_server_that_refuses_is_asked_again() -> None:
    with RedisServer(maxmemory="1", maxmemory_policy="noeviction") as server:
        client = redis.Redis.from_url(server.url, socket_timeout=1)
        board = RedisBoard(client, RedisGuard("redis-cache"))
        for _ in range(2):
            with pytest.raises(CouldNotAsk, match="answered with OutOfMemoryError"):
                board.ask([XUL], "one", MANY)
        assert board.look([XUL]) == ["idle"]
        client.close()


def test_ask_beyond_the_places_of_a_client_takes_none(board: Board) -> None:
    assert board.ask(OTHERS, "one", Places(most=2, first=4)) == OTHERS[:2]
    assert board.ask(OTHERS[2:], "one", Places(most=2, first=2)) == []
    assert board.look(OTHERS) == ["asked"] * 2 + ["idle"] * 3


def test_ask_first_module_of_a_call_has_places_of_its_own(board: Board) -> None:
    board.ask(OTHERS[:2], "one", Places(most=2, first=4))
    assert board.ask(OTHERS[2:], "one", Places(most=2, first=4)) == [OTHERS[2]]
    assert board.ask(OTHERS[3:], "one", Places(most=2, first=4)) == [OTHERS[3]]
    assert board.ask(OTHERS[4:], "one", Places(most=2, first=4)) == []


def test_ask_for_another_client_has_its_own_places(board: Board) -> None:
    board.ask(OTHERS, "one", Places(most=2, first=2))
    assert board.ask(OTHERS, "two", Places(most=2, first=2)) == OTHERS[2:4]


def test_finish_frees_the_place(board: Board) -> None:
    board.ask(OTHERS, "one", Places(most=2, first=2))
    board.begin(OTHERS[0])
    board.finish(OTHERS[0], Ready(), ended=True)
    assert board.ask(OTHERS[2:], "one", Places(most=2, first=2)) == [OTHERS[2]]


def test_withdraw_frees_the_places(board: Board) -> None:
    board.withdraw(board.ask(OTHERS, "one", Places(most=2, first=2)))
    assert board.ask(OTHERS[2:], "one", Places(most=2, first=2)) == OTHERS[2:4]


def test_ask_place_that_is_never_answered_expires(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask(OTHERS, "one", Places(most=2, first=2))
    # As after ASKED_SECONDS.
    cache_client.zadd(keys.client("one"), {str(OTHERS[0]): 0})
    assert board.ask(OTHERS[2:], "one", Places(most=2, first=2)) == [OTHERS[2]]


FOO, LOWER = ObjectId("Foo.pdb", "A" * 33), ObjectId("foo.pdb", "A" * 33)
ABSENT = Missing("absent", "Foo.pdb is not there")


def redis_board(cache_client: redis.Redis) -> RedisBoard:
    return RedisBoard(cache_client, RedisGuard("redis-cache"))


def test_ask_for_another_spelling_meanwhile_sends_no_second_job(board: Board) -> None:
    assert board.ask([FOO], "one", MANY) == [FOO]
    assert board.ask([LOWER], "other", MANY) == []
    assert board.look([LOWER]) == ["asked"]
    board.finish(LOWER, Ready(), ended=True)
    assert board.look([FOO]) == [Ready()]
    assert board.ask([OTHERS[0]], "one", Places(1, 1)) == [OTHERS[0]]


def test_finish_absent_answers_the_spelling_that_was_looked_for_alone(cache_client: redis.Redis) -> None:
    board = redis_board(cache_client)
    board.ask([FOO], "one", MANY)
    board.finish(FOO, ABSENT, ended=True)
    assert board.look([FOO, LOWER]) == [ABSENT, "idle"]
    assert board.ask([LOWER], "other", MANY) == [LOWER]


def test_forget_another_spelling_ends_an_answer(cache_client: redis.Redis) -> None:
    board = redis_board(cache_client)
    board.finish(FOO, ABSENT, ended=True)
    board.forget(LOWER)
    assert board.look([FOO]) == ["idle"]
