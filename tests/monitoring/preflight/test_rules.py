from __future__ import annotations

from typing import Any

import pytest

from tecken.monitoring.preflight.rules import Facts, find_problems, parse_info

CACHE = Facts(
    run_id="a",
    version=(8, 0, 2),
    role="master",
    maxmemory=1000,
    policy="volatile-lru",
    used_memory=10,
    clients=3,
    maxclients=10_000,
    persistent=True,
    last_save_ok=True,
    loading=False,
    mode="standalone",
    evicted=0,
    hits=0,
    misses=0,
    commands=0,
)
STORE = CACHE._replace(run_id="b", policy="allkeys-lru", persistent=False, used_memory=999)
Wrong = list[tuple[str, str]]


def wrong(cache: Facts | None, store: Facts | None, production: bool = True) -> Wrong:
    return [(problem.id, problem.level) for problem in find_problems(cache, store, production)]


def test_rules_for_correct_servers_find_nothing() -> None:
    assert wrong(CACHE, STORE) == []


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"policy": "allkeys-lru"}, [("E05", "error")]),
        ({"policy": "allkeys-random"}, [("E05", "error")]),
        ({"policy": "noeviction"}, []),
        ({"policy": ""}, []),
        ({"maxmemory": 0}, []),
        ({"role": "slave"}, [("E04", "error")]),
        ({"loading": True}, [("E04", "error")]),
        ({"mode": "cluster"}, [("E10", "error")]),
        ({"mode": "sentinel", "role": "sentinel"}, [("E10", "error")]),
        ({"version": (6, 2, 14)}, [("E10", "error")]),
        ({"version": (7, 0, 0)}, []),
        ({"version": ()}, []),
        ({"persistent": False}, [("W08", "warning")]),
        ({"last_save_ok": False}, [("W08", "warning")]),
        ({"used_memory": 901}, [("W09", "warning")]),
        ({"used_memory": 900}, []),
        ({"clients": 8001}, [("W09", "warning")]),
        ({"clients": 8001, "maxclients": 0}, []),
    ],
)
def test_rules_for_redis_cache_find_each_problem(change: dict[str, Any], expected: Wrong) -> None:
    assert wrong(CACHE._replace(**change), STORE) == expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"policy": "noeviction"}, [("E06", "error")]),
        ({"maxmemory": 0}, [("E06", "error")]),
        ({"maxmemory": 0, "policy": "noeviction"}, [("E06", "error"), ("E06", "error")]),
        ({"policy": "volatile-lru"}, [("W06", "warning")]),
        ({"policy": "allkeys-lfu"}, []),
        ({"role": "slave"}, [("E04", "error")]),
        ({"mode": "cluster"}, []),
        ({"version": (6, 2, 14)}, [("E10", "error")]),
        ({"last_save_ok": False}, []),
    ],
)
def test_rules_for_redis_store_find_each_problem(change: dict[str, Any], expected: Wrong) -> None:
    assert wrong(CACHE, STORE._replace(**change)) == expected


def test_rules_for_one_server_as_both_find_it() -> None:
    same = STORE._replace(run_id=CACHE.run_id)
    assert wrong(CACHE, same) == [("E07", "error")]
    assert wrong(CACHE, same, production=False) == [("E07", "warning")]


def test_rules_for_servers_without_run_id_find_nothing() -> None:
    assert wrong(CACHE._replace(run_id=""), STORE._replace(run_id="")) == []


def test_rules_for_unknown_servers_find_nothing() -> None:
    assert wrong(None, None) == []
    assert wrong(None, STORE._replace(policy="noeviction")) == [("E06", "error")]


def test_rules_mark_only_passing_problems_as_transient() -> None:
    replica, evicts = CACHE._replace(role="slave"), CACHE._replace(policy="allkeys-lru")
    assert [problem.transient for problem in find_problems(replica, STORE, True)] == [True]
    assert [problem.transient for problem in find_problems(evicts, STORE, True)] == [False]


def test_parse_info_without_fields_has_defaults() -> None:
    assert parse_info({}) == Facts("", (), "", 0, "", 0, 0, 0, False, True, False, "", 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("info", "persistent", "saved"),
    [
        ({"aof_enabled": 1}, True, True),
        ({"aof_enabled": 0, "rdb_last_bgsave_time_sec": -1}, False, True),
        ({"aof_enabled": 0, "rdb_last_bgsave_time_sec": 0}, True, True),
        ({"aof_enabled": 1, "aof_last_write_status": "err"}, True, False),
        ({"rdb_last_bgsave_time_sec": 1, "rdb_last_bgsave_status": "err"}, True, False),
    ],
)
def test_parse_info_detects_persistence(info: dict[str, object], persistent: bool, saved: bool) -> None:
    found = parse_info(info)
    assert (found.persistent, found.last_save_ok) == (persistent, saved)
