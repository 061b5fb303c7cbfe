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


def test_look_unclaimed_module_is_idle(board: Board) -> None:
    assert board.look([XUL, NSS]) == ["idle", "idle"]


def test_ask_claimed_module_is_not_claimed_again(board: Board) -> None:
    assert board.ask([XUL], "client", MANY) == [XUL]
    assert board.ask([XUL, NSS], "client", MANY) == [NSS]
    assert board.look([NSS, XUL]) == ["asked", "asked"]


def test_withdraw_module_can_be_claimed_again(board: Board) -> None:
    board.ask([XUL, NSS], "client", MANY)
    board.withdraw([XUL])
    assert board.look([XUL, NSS]) == ["idle", "asked"]
    assert board.ask([XUL], "client", MANY) == [XUL]


@pytest.mark.parametrize("answer", [Ready(), Missing("malformed", "line 1: no MODULE record \u2713")])
def test_finish_result_is_visible_to_every_poll(board: Board, answer: Ready | Missing) -> None:
    board.ask([XUL], "client", MANY)
    board.begin(XUL)
    board.finish(XUL, answer, ended=True)
    (state,) = board.look([XUL])
    assert state == answer
    assert type(state) is type(answer)


def test_begin_counts_attempts_until_one_ends(board: Board) -> None:
    assert [board.begin(XUL), board.begin(XUL)] == [1, 2]
    board.finish(XUL, Ready(), ended=False)
    assert board.begin(XUL) == 3
    board.finish(XUL, Ready(), ended=True)
    assert board.begin(XUL) == 1


def test_look_locked_module_is_started(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask([XUL], "client", MANY)
    cache_client.set(keys.lock(XUL), "worker", ex=30)
    assert board.look([XUL]) == ["started"]


def test_board_keys_all_expire(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask([XUL, NSS], "client", MANY)
    board.begin(XUL)
    board.finish(XUL, Ready(), ended=False)
    names = cache_client.keys("cold:*")
    assert len(names) == 4
    assert all(cache_client.ttl(name) > 0 for name in names)


@pytest.mark.parametrize("how", ["stop", "pause"])
def test_board_unresponsive_server_costs_one_timeout(how: str) -> None:
    clock = Clock()
    with RedisServer() as server:
        client = redis.Redis.from_url(
            server.url, socket_timeout=MUTE_AFTER, socket_connect_timeout=MUTE_AFTER
        )
        board = RedisBoard(client, RedisGuard("redis-cache", clock=clock))
        board.ask([XUL], "client", MANY)
        getattr(server, how)()
        with pytest.raises(CouldNotAsk, match="does not answer"):
            board.look([XUL])
        with pytest.raises(CouldNotAsk, match="not asked"):
            board.look([XUL])
        server.resume() if how == "pause" else server.start()
        clock.sleep(1.0)
        assert board.look([XUL]) in (["asked"], ["idle"])
        client.close()


def test_board_refusing_server_is_tried_again() -> None:
    with RedisServer(maxmemory="1", maxmemory_policy="noeviction") as server:
        client = redis.Redis.from_url(server.url, socket_timeout=1)
        board = RedisBoard(client, RedisGuard("redis-cache"))
        for _ in range(2):
            with pytest.raises(CouldNotAsk, match="answered with OutOfMemoryError"):
                board.ask([XUL], "client", MANY)
        assert board.look([XUL]) == ["idle"]
        client.close()


def test_ask_without_free_places_claims_nothing(board: Board) -> None:
    assert board.ask(OTHERS, "client", Places(most=2, first=4)) == OTHERS[:2]
    assert board.ask(OTHERS[2:], "client", Places(most=2, first=2)) == []
    assert board.look(OTHERS) == ["asked"] * 2 + ["idle"] * 3


def test_ask_first_module_has_reserved_places(board: Board) -> None:
    board.ask(OTHERS[:2], "client", Places(most=2, first=4))
    assert board.ask(OTHERS[2:], "client", Places(most=2, first=4)) == [OTHERS[2]]
    assert board.ask(OTHERS[3:], "client", Places(most=2, first=4)) == [OTHERS[3]]
    assert board.ask(OTHERS[4:], "client", Places(most=2, first=4)) == []


def test_ask_other_client_has_its_own_places(board: Board) -> None:
    board.ask(OTHERS, "client", Places(most=2, first=2))
    assert board.ask(OTHERS, "two", Places(most=2, first=2)) == OTHERS[2:4]


def test_finish_module_frees_its_place(board: Board) -> None:
    board.ask(OTHERS, "client", Places(most=2, first=2))
    board.begin(OTHERS[0])
    board.finish(OTHERS[0], Ready(), ended=True)
    assert board.ask(OTHERS[2:], "client", Places(most=2, first=2)) == [OTHERS[2]]


def test_withdraw_modules_frees_their_places(board: Board) -> None:
    board.withdraw(board.ask(OTHERS, "client", Places(most=2, first=2)))
    assert board.ask(OTHERS[2:], "client", Places(most=2, first=2)) == OTHERS[2:4]


def test_ask_place_without_result_expires(cache_client: redis.Redis) -> None:
    board = RedisBoard(cache_client, RedisGuard("redis-cache"))
    board.ask(OTHERS, "client", Places(most=2, first=2))
    # The state after ASKED_SECONDS.
    cache_client.zadd(keys.client("client"), {str(OTHERS[0]): 0})
    assert board.ask(OTHERS[2:], "client", Places(most=2, first=2)) == [OTHERS[2]]


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
