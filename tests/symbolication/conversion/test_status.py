from __future__ import annotations

import pytest
import redis

from tecken.errors import Unavailable
from tecken.redisclient.guard import RedisGuard
from tecken.store.port import Missing
from tecken.symbolication.conversion import keys
from tecken.symbolication.conversion.status import (
    MAX_OFFSETS,
    RENEWAL_SECONDS,
    ClientPlaces,
    ConversionTracker,
    EarlyFrames,
    Ready,
    RedisConversionTracker,
)
from tecken.symbols.ids import ObjectId
from tecken.symbols.lookup import Frame, Inline
from tests.support.clock import Clock
from tests.support.redis_server import MUTE_AFTER, RedisServer
from tests.symbolication.conversion.memory import MemoryConversionTracker

XUL = ObjectId("xul.pdb", "44E4EC8C2F41492B9369D6B9A059577C2")
NSS = ObjectId("nss3.pdb", "1D4DEFAC0A6B42CC8B2D8F0B2C4D0DB71")
OTHERS = [ObjectId(f"{i}.so", "0" * 33) for i in range(5)]
MANY = ClientPlaces(most=100, first=100)


@pytest.fixture(params=["memory", "redis"])
def tracker(request: pytest.FixtureRequest) -> ConversionTracker:
    if request.param == "memory":
        return MemoryConversionTracker()
    return RedisConversionTracker(request.getfixturevalue("cache_client"), RedisGuard("redis-cache"))


def test_look_unclaimed_module_is_idle(tracker: ConversionTracker) -> None:
    assert tracker.get([XUL, NSS]) == ["idle", "idle"]


def test_ask_claimed_module_is_not_claimed_again(tracker: ConversionTracker) -> None:
    assert tracker.claim([XUL], "client", MANY) == [XUL]
    assert tracker.claim([XUL, NSS], "client", MANY) == [NSS]
    assert tracker.get([NSS, XUL]) == ["asked", "asked"]


def test_withdraw_module_can_be_claimed_again(tracker: ConversionTracker) -> None:
    tracker.claim([XUL, NSS], "client", MANY)
    tracker.release([XUL])
    assert tracker.get([XUL, NSS]) == ["idle", "asked"]
    assert tracker.claim([XUL], "client", MANY) == [XUL]


@pytest.mark.parametrize("answer", [Ready(), Missing("malformed", "line 1: no MODULE record \u2713")])
def test_finish_result_is_visible_to_every_poll(tracker: ConversionTracker, answer: Ready | Missing) -> None:
    tracker.claim([XUL], "client", MANY)
    tracker.begin(XUL)
    tracker.finish(XUL, answer, ended=True)
    (state,) = tracker.get([XUL])
    assert state == answer
    assert type(state) is type(answer)


def test_begin_counts_attempts_until_one_ends(tracker: ConversionTracker) -> None:
    assert [tracker.begin(XUL), tracker.begin(XUL)] == [1, 2]
    tracker.finish(XUL, Ready(), ended=False)
    assert tracker.begin(XUL) == 3
    tracker.finish(XUL, Ready(), ended=True)
    assert tracker.begin(XUL) == 1


def test_look_locked_module_is_started(cache_client: redis.Redis) -> None:
    tracker = RedisConversionTracker(cache_client, RedisGuard("redis-cache"))
    tracker.claim([XUL], "client", MANY)
    cache_client.set(keys.lock(XUL), "worker", ex=30)
    assert tracker.get([XUL]) == ["started"]


def test_board_keys_all_expire(cache_client: redis.Redis) -> None:
    tracker = RedisConversionTracker(cache_client, RedisGuard("redis-cache"))
    tracker.claim([XUL, NSS], "client", MANY)
    tracker.begin(XUL)
    tracker.finish(XUL, Ready(), ended=False)
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
        tracker = RedisConversionTracker(client, RedisGuard("redis-cache", clock=clock))
        tracker.claim([XUL], "client", MANY)
        getattr(server, how)()
        with pytest.raises(Unavailable, match="does not answer"):
            tracker.get([XUL])
        with pytest.raises(Unavailable, match="not asked"):
            tracker.get([XUL])
        server.resume() if how == "pause" else server.start()
        clock.sleep(1.0)
        assert tracker.get([XUL]) in (["asked"], ["idle"])
        client.close()


def test_board_refusing_server_is_tried_again() -> None:
    with RedisServer(maxmemory="1", maxmemory_policy="noeviction") as server:
        client = redis.Redis.from_url(server.url, socket_timeout=1)
        tracker = RedisConversionTracker(client, RedisGuard("redis-cache"))
        for _ in range(2):
            with pytest.raises(Unavailable, match="answered with OutOfMemoryError"):
                tracker.claim([XUL], "client", MANY)
        assert tracker.get([XUL]) == ["idle"]
        client.close()


def test_ask_without_free_places_claims_nothing(tracker: ConversionTracker) -> None:
    assert tracker.claim(OTHERS, "client", ClientPlaces(most=2, first=4)) == OTHERS[:2]
    assert tracker.claim(OTHERS[2:], "client", ClientPlaces(most=2, first=2)) == []
    assert tracker.get(OTHERS) == ["asked"] * 2 + ["idle"] * 3


def test_ask_first_module_has_reserved_places(tracker: ConversionTracker) -> None:
    tracker.claim(OTHERS[:2], "client", ClientPlaces(most=2, first=4))
    assert tracker.claim(OTHERS[2:], "client", ClientPlaces(most=2, first=4)) == [OTHERS[2]]
    assert tracker.claim(OTHERS[3:], "client", ClientPlaces(most=2, first=4)) == [OTHERS[3]]
    assert tracker.claim(OTHERS[4:], "client", ClientPlaces(most=2, first=4)) == []


def test_ask_other_client_has_its_own_places(tracker: ConversionTracker) -> None:
    tracker.claim(OTHERS, "client", ClientPlaces(most=2, first=2))
    assert tracker.claim(OTHERS, "two", ClientPlaces(most=2, first=2)) == OTHERS[2:4]


def test_finish_module_frees_its_place(tracker: ConversionTracker) -> None:
    tracker.claim(OTHERS, "client", ClientPlaces(most=2, first=2))
    tracker.begin(OTHERS[0])
    tracker.finish(OTHERS[0], Ready(), ended=True)
    assert tracker.claim(OTHERS[2:], "client", ClientPlaces(most=2, first=2)) == [OTHERS[2]]


def test_withdraw_modules_frees_their_places(tracker: ConversionTracker) -> None:
    tracker.release(tracker.claim(OTHERS, "client", ClientPlaces(most=2, first=2)))
    assert tracker.claim(OTHERS[2:], "client", ClientPlaces(most=2, first=2)) == OTHERS[2:4]


def test_ask_place_without_result_expires(cache_client: redis.Redis) -> None:
    tracker = RedisConversionTracker(cache_client, RedisGuard("redis-cache"))
    tracker.claim(OTHERS, "client", ClientPlaces(most=2, first=2))
    # The state after ASKED_SECONDS.
    cache_client.zadd(keys.client("client"), {str(OTHERS[0]): 0})
    assert tracker.claim(OTHERS[2:], "client", ClientPlaces(most=2, first=2)) == [OTHERS[2]]


FOO, LOWER = ObjectId("Foo.pdb", "A" * 33), ObjectId("foo.pdb", "A" * 33)
ABSENT = Missing("absent", "Foo.pdb is not there")


def redis_board(cache_client: redis.Redis) -> RedisConversionTracker:
    return RedisConversionTracker(cache_client, RedisGuard("redis-cache"))


def test_ask_for_another_spelling_meanwhile_sends_no_second_job(tracker: ConversionTracker) -> None:
    assert tracker.claim([FOO], "one", MANY) == [FOO]
    assert tracker.claim([LOWER], "other", MANY) == []
    assert tracker.get([LOWER]) == ["asked"]
    tracker.finish(LOWER, Ready(), ended=True)
    assert tracker.get([FOO]) == [Ready()]
    assert tracker.claim([OTHERS[0]], "one", ClientPlaces(1, 1)) == [OTHERS[0]]


def test_finish_absent_answers_the_spelling_that_was_looked_for_alone(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    tracker.claim([FOO], "one", MANY)
    tracker.finish(FOO, ABSENT, ended=True)
    assert tracker.get([FOO, LOWER]) == [ABSENT, "idle"]
    assert tracker.claim([LOWER], "other", MANY) == [LOWER]


def test_forget_another_spelling_ends_an_answer(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    tracker.finish(FOO, ABSENT, ended=True)
    tracker.forget(LOWER)
    assert tracker.get([FOO]) == ["idle"]


# Early frames

EARLY = EarlyFrames(
    "xul.dll",
    {
        5: Frame("f", 4, "a.c", 7, (Inline("naïve()", "é.c", 8), Inline("h", "", 0)), 16),
        6: None,
        2**32 - 1: Frame("last", 2**32 - 16, "", 0),
    },
)


def test_claim_keeps_the_offsets_of_claimed_modules(tracker: ConversionTracker) -> None:
    places = ClientPlaces(most=1, first=1)
    assert tracker.claim([XUL, NSS], "client", places, {XUL: [5, 2**32 - 1], NSS: [1]}) == [XUL]
    assert tracker.wanted(XUL) == {5, 2**32 - 1}
    assert tracker.wanted(NSS) == set()


def test_want_adds_offsets_up_to_the_bound(tracker: ConversionTracker) -> None:
    tracker.claim([XUL], "client", MANY, {XUL: [5, 6]})
    tracker.want({XUL: [6, 7], NSS: [1]})
    assert tracker.wanted(XUL) == {5, 6, 7}
    assert tracker.wanted(NSS) == set()
    tracker.want({XUL: range(100, 100 + 2 * MAX_OFFSETS)})
    assert len(tracker.wanted(XUL)) == MAX_OFFSETS
    tracker.want({XUL: [8]})
    assert 8 not in tracker.wanted(XUL)


def test_want_module_that_is_converted_without_a_claim_keeps_offsets(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    cache_client.set(keys.lock(XUL), "worker", ex=30)
    tracker.want({XUL: [5]})
    assert tracker.wanted(XUL) == {5}


def test_frames_published_are_read_until_the_conversion_ends(tracker: ConversionTracker) -> None:
    tracker.claim([XUL], "client", MANY)
    assert tracker.frames({XUL: [5]}) == {}
    assert tracker.publish_frames(XUL, tracker.revision(XUL), EARLY)
    assert tracker.get([XUL, NSS]) == ["scanned", "idle"]
    assert tracker.frames({XUL: [6, 5, 2**32 - 1]}) == {XUL: EARLY}
    tracker.finish(XUL, Ready(), ended=False)
    assert tracker.get([XUL]) == [Ready()]
    assert tracker.frames({XUL: [5]}) == {}
    assert tracker.wanted(XUL) == set()


def test_frames_with_an_offset_missing_are_not_returned(tracker: ConversionTracker) -> None:
    tracker.publish_frames(XUL, tracker.revision(XUL), EARLY)
    tracker.publish_frames(NSS, tracker.revision(NSS), EARLY)
    found = tracker.frames({XUL: [5, 7], NSS: [6]})
    assert found == {NSS: EarlyFrames("xul.dll", {6: None})}


def test_frames_of_former_symbols_are_removed_and_refused(tracker: ConversionTracker) -> None:
    """Whichever comes first, an upload or the frames of the symbols before it."""
    tracker.claim([XUL], "client", MANY)
    before = tracker.revision(XUL)
    assert tracker.publish_frames(XUL, before, EARLY)
    tracker.forget(XUL)
    assert tracker.frames({XUL: [5]}) == {}
    assert not tracker.publish_frames(XUL, before, EARLY)
    assert tracker.frames({XUL: [5]}) == {}
    assert tracker.publish_frames(XUL, tracker.revision(XUL), EARLY)


def test_frames_withdrawn_are_not_read(tracker: ConversionTracker) -> None:
    tracker.claim([XUL], "client", MANY)
    tracker.publish_frames(XUL, tracker.revision(XUL), EARLY)
    tracker.withdraw_frames(XUL)
    assert tracker.frames({XUL: [5]}) == {}


def test_frames_replace_earlier_ones(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    tracker.publish_frames(XUL, "", EARLY)
    tracker.publish_frames(XUL, "", EarlyFrames("", {9: None}))
    assert tracker.frames({XUL: [5]}) == {}
    assert tracker.frames({XUL: [9]}) == {XUL: EarlyFrames("", {9: None})}


def test_frames_keys_all_expire(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    tracker.claim([XUL], "client", MANY, {XUL: [5]})
    tracker.publish_frames(XUL, "", EARLY)
    tracker.forget(NSS)
    names = cache_client.keys("cold:*")
    kinds = {bytes(name).split(b":")[1] for name in names}  # type: ignore[arg-type]
    assert kinds == {b"asked", b"client", b"wanted", b"scanned", b"frames", b"revision"}
    assert all(cache_client.ttl(name) > 0 for name in names)


def test_frames_and_results_are_announced(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    with cache_client.pubsub() as channel:  # type: ignore[no-untyped-call]
        channel.subscribe(keys.ANSWERED)
        assert channel.get_message(timeout=10)["type"] == "subscribe"
        tracker.publish_frames(XUL, "", EARLY)
        tracker.finish(NSS, ABSENT, ended=True)
        messages = [channel.get_message(timeout=10)["data"].decode() for _ in range(2)]
    assert messages == [XUL.key, NSS.key]


def test_renewals_are_claimed_once_and_expire(cache_client: redis.Redis) -> None:
    tracker = redis_board(cache_client)
    assert tracker.claim_renewals([XUL]) == [XUL]
    assert tracker.claim_renewals([XUL, NSS]) == [NSS]
    assert 0 < cache_client.ttl(keys.renewal(XUL)) <= RENEWAL_SECONDS
