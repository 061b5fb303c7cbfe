"""Inspection of real servers, each with a problem of its own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis

from tecken import redisclient
from tecken.monitoring.preflight import inspect
from tecken.monitoring.preflight.inspect import Inspection, Target, inspect_server
from tecken.monitoring.preflight.rules import CACHE
from tests.support.redis_server import RedisServer, free_port
from tests.support.scripted_server import ScriptedServer

OUTSIDE = [tuple(word.format("tecken:config") for word in command) for command in inspect.CACHE_OUTSIDE]


@pytest.fixture
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


@pytest.fixture
def operator(server: RedisServer) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(server.url) as client:
        yield client


def inspect_url(url: str, production: bool = False) -> Inspection:
    client = redisclient.client(url, timeout=1, connect_timeout=1)
    return inspect_server(Target(CACHE, url, client, inspect.CACHE, OUTSIDE), production)


def as_user(server: RedisServer, user: str) -> str:
    return f"redis://{user}:s3cret@127.0.0.1:{server.port}/3"


def allow(operator: redis.Redis, *rules: str) -> None:
    operator.execute_command("ACL", "SETUSER", "ted", "on", ">s3cret", *rules)  # type: ignore[no-untyped-call]


def problems(inspection: Inspection) -> list[tuple[str, str]]:
    return [(problem.id, problem.text) for problem in inspection.problems]


def test_inspection_of_a_working_server_has_no_problem(server: RedisServer) -> None:
    inspection = inspect_url(server.url)
    assert problems(inspection) == []
    assert inspection.reached
    assert inspection.facts
    assert inspection.facts.role == "master"


def test_inspection_changes_nothing(server: RedisServer, operator: redis.Redis) -> None:
    inspect_url(server.url)
    assert operator.dbsize() == 0
    assert operator.info("keyspace") == {}


def test_inspection_with_the_least_account_has_no_problem(server: RedisServer, operator: redis.Redis) -> None:
    allow(operator, *inspect.acl_rules(inspect.CACHE, inspect.CACHE_OUTSIDE))
    inspection = inspect_url(as_user(server, "ted"))
    assert problems(inspection) == []
    assert inspection.facts


def test_inspection_names_every_command_that_is_not_allowed(
    server: RedisServer, operator: redis.Redis
) -> None:
    allow(operator, "~*", "&*", "+@all", "-lpush", "-evalsha")
    assert problems(inspect_url(as_user(server, "ted"))) == [
        ("E03", "the account for redis-cache may not run LPUSH convert, EVALSHA " + "0" * 40)
    ]


def test_inspection_with_an_account_for_other_keys_names_commands(
    server: RedisServer, operator: redis.Redis
) -> None:
    allow(operator, "~theirs:*", "&*", "+@all")
    [(number, text)] = problems(inspect_url(as_user(server, "ted")))
    assert number == "E03"
    assert "GET cold:answer:x" in text


def test_inspection_with_an_account_for_other_channels_names_commands(
    server: RedisServer, operator: redis.Redis
) -> None:
    allow(operator, "~*", "&theirs:*", "+@all")
    [(number, text)] = problems(inspect_url(as_user(server, "ted")))
    assert number == "E03"
    assert text.endswith("PUBLISH tecken:config, SUBSCRIBE tecken:config, PSUBSCRIBE /1.celeryev/*")


def test_inspection_without_transactions_carries_out_nothing(
    server: RedisServer, operator: redis.Redis
) -> None:
    allow(operator, "~*", "&*", "+@all", "-multi")
    assert problems(inspect_url(as_user(server, "ted"))) == [
        ("E03", "the account for redis-cache may not run MULTI")
    ]
    assert operator.info("keyspace") == {}


def test_inspection_without_config_has_facts(server: RedisServer, operator: redis.Redis) -> None:
    allow(operator, "~*", "&*", "+@all", "-config", "-acl")
    inspection = inspect_url(as_user(server, "ted"))
    assert problems(inspection) == []
    assert inspection.facts
    assert inspection.facts.policy == "noeviction"


def test_inspection_without_info_is_a_warning(server: RedisServer, operator: redis.Redis) -> None:
    allow(operator, "~*", "&*", "+@all", "-info")
    inspection = inspect_url(as_user(server, "ted"))
    assert [problem.level for problem in inspection.problems] == ["warning"]
    assert (inspection.reached, inspection.facts) == (True, None)


def test_inspection_with_a_wrong_password_does_not_show_it(
    server: RedisServer, operator: redis.Redis
) -> None:
    operator.config_set("requirepass", "another")
    inspection = inspect_url(f"redis://:s3cret@127.0.0.1:{server.port}/3")
    assert not inspection.reached
    assert problems(inspection) == [
        (
            "E03",
            f"Failed to connect to Redis at redis://:***@127.0.0.1:{server.port}:"
            " it refuses our user name or password",
        )
    ]


def test_inspection_without_the_required_password_is_refused(
    server: RedisServer, operator: redis.Redis
) -> None:
    operator.config_set("requirepass", "another")
    [(number, _text)] = problems(inspect_url(server.url))
    assert number == "E03"


def test_inspection_of_a_server_with_too_few_databases_fails() -> None:
    with RedisServer(databases="2") as small:
        [(number, text)] = problems(inspect_url(f"redis://127.0.0.1:{small.port}/3"))
    assert number == "E08"
    assert "too few databases" in text


def test_inspection_of_a_replica_finds_no_writes(server: RedisServer, operator: redis.Redis) -> None:
    operator.replicaof("127.0.0.1", free_port())
    assert problems(inspect_url(server.url)) == [("E04", "redis-cache takes no writes: it is a replica")]


def test_inspection_of_a_full_server_finds_no_writes(server: RedisServer, operator: redis.Redis) -> None:
    operator.config_set("maxmemory", 1)
    inspection = inspect_url(server.url)
    assert problems(inspection) == [("E04", "redis-cache takes no writes: its memory is full")]
    assert inspection.problems[0].transient


def test_inspection_of_a_server_with_too_few_replicas_finds_no_writes(
    server: RedisServer, operator: redis.Redis
) -> None:
    operator.config_set("min-replicas-to-write", 1)
    [(number, text)] = problems(inspect_url(server.url))
    assert number == "E04"
    assert "too few replicas" in text


def test_inspection_of_a_server_that_closes_suggests_tls() -> None:
    with ScriptedServer() as rude:
        [(number, text)] = problems(inspect_url(f"redis://127.0.0.1:{rude.port}/3"))
    assert number == "E02"
    assert text.endswith("does this port require TLS (rediss://)?")


def test_inspection_of_an_unresponsive_server_times_out(server: RedisServer) -> None:
    server.pause()
    [(number, text)] = problems(inspect_url(server.url))
    assert number == "E02"
    assert "no answer in time" in text


def test_inspection_in_production_without_password_is_a_warning(server: RedisServer) -> None:
    assert problems(inspect_url(server.url, production=True)) == [
        ("W11", "redis-cache is used without a password")
    ]
