"""A Redis Cluster as one client."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, TypeVar

import redis
from redis.client import Pipeline
from redis.commands.helpers import list_or_args

from tecken.redisclient.fanout import ClusterPool, Command

SCRIPTS = ("EVAL", "EVALSHA", "EVAL_RO", "EVALSHA_RO")
FOR_ONE_SERVER = re.compile(
    "(ACL|CLIENT|CLUSTER|COMMAND|CONFIG|DEBUG|INFO|LATENCY|MEMORY|PUBLISH|PUBSUB|SCAN|SCRIPT|SLOWLOG)( .*)?"
)

T = TypeVar("T")


class Cluster(redis.Redis):
    """What is asked of a key goes to the node that has it; of several keys, to all their nodes side by side,
    and not as one step. A node that is away is an error, also when others have answered: `mget_reachable`
    is for those who need no more than what can be had. There is database 0 only, as in every cluster.
    """

    connection_pool: ClusterPool

    def __init__(self, connection_pool: ClusterPool) -> None:
        super().__init__(connection_pool=connection_pool)

    def execute_command(self, *words: Any, **options: Any) -> Any:
        return self._each([(words, options)])[0]

    def pipeline(self, transaction: bool = False, shard_hint: None = None) -> Batch:  # noqa: ARG002
        """Never a transaction: its commands are for several nodes."""
        return Batch(self)

    def ask(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        """As ClusterPool.ask."""
        encoder: Any = self.get_encoder()
        named = [Command(encoder.encode(_key(words)), words, options) for words, options in commands]
        return self.connection_pool.ask(named)

    def nodes(self) -> list[redis.Redis]:
        return self.connection_pool.nodes()

    def mget(self, keys: Any, *more: Any) -> list[Any]:
        names = list_or_args(keys, more)
        return [value for (value,) in self._each((["MGET", name], {}) for name in names)]

    def mget_reachable(self, keys: Sequence[str]) -> list[bytes | None]:
        """Of a node that is away: None. Raises only when all are."""
        answers = self.ask((["MGET", key], {}) for key in keys)
        if all(isinstance(answer, Exception) for answer in answers):
            _raise_first(answers)
        return [None if isinstance(answer, Exception) else answer[0] for answer in answers]

    def mset(self, mapping: Mapping[Any, Any]) -> bool:
        return all(self._each((["SET", key, value], {}) for key, value in mapping.items()))

    def delete(self, *names: Any) -> int:
        return self._count("DEL", names)

    def unlink(self, *names: Any) -> int:
        return self._count("UNLINK", names)

    def exists(self, *names: Any) -> int:
        return self._count("EXISTS", names)

    def flushdb(self, asynchronous: bool = False, **options: Any) -> bool:
        return all(self._everywhere(lambda node: node.flushdb(asynchronous, **options)))

    def flushall(self, asynchronous: bool = False, **options: Any) -> bool:
        return all(self._everywhere(lambda node: node.flushall(asynchronous, **options)))

    def dbsize(self, **options: Any) -> int:
        return sum(self._everywhere(lambda node: node.dbsize(**options)))

    def keys(self, pattern: Any = "*", **options: Any) -> list[Any]:
        return list(chain.from_iterable(self._everywhere(lambda node: node.keys(pattern, **options))))

    def scan_iter(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        for node in self.nodes():
            yield from node.scan_iter(*arguments, **options)

    def ping(self, **options: Any) -> bool:
        return all(self._everywhere(lambda node: node.ping(**options)))

    def _count(self, word: str, names: Sequence[Any]) -> int:
        return sum(self._each(([word, name], {}) for name in names))

    def _each(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        answers = self.ask(commands)
        _raise_first(answers)
        return answers

    def _everywhere(self, call: Callable[[redis.Redis], T]) -> list[T]:
        return [call(node) for node in self.nodes()]


class Batch(Pipeline):
    """The pipeline of a Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        stack, self.command_stack = self.command_stack, []
        answers = self._cluster.ask(stack)
        if raise_on_error:
            _raise_first(answers)
        return answers


def _key(words: Sequence[Any]) -> Any:
    """Raises DataError for a command that no key tells the node of."""
    name = str(words[0]).upper()
    if FOR_ONE_SERVER.fullmatch(name):
        raise redis.DataError(f"{name} is a question for one server: ask each of nodes(client)")
    at = 3 if name in SCRIPTS else 1
    if len(words) <= at or (at == 3 and not int(words[2])):
        raise redis.DataError(f"{name} without a key: a cluster cannot tell which node to ask")
    return words[at]


def _raise_first(answers: Iterable[Any]) -> None:
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
