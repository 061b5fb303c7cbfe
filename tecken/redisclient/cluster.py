"""Client of a whole Redis Cluster."""

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
    """Client that sends each command to the node of its key.

    A command with several keys is split and sent to all their nodes side by side. It is not atomic. A node
    that does not answer is an error, even if others have answered; `mget_reachable` returns the other values
    then. A cluster has database 0 only.
    """

    connection_pool: ClusterPool

    def __init__(self, connection_pool: ClusterPool) -> None:
        super().__init__(connection_pool=connection_pool)

    def execute_command(self, *arguments: Any, **options: Any) -> Any:
        """Run a command with one key."""
        return self._each([(arguments, options)])[0]

    def pipeline(self, transaction: bool = False, shard_hint: None = None) -> Batch:  # noqa: ARG002
        """Return a batch, which is no transaction: its commands are for several nodes."""
        return Batch(self)

    def ask(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        """Return the replies to commands, as `ClusterPool.ask` does."""
        encoder: Any = self.get_encoder()
        named = [
            Command(encoder.encode(_key(arguments)), arguments, options) for arguments, options in commands
        ]
        return self.connection_pool.ask(named)

    def nodes(self) -> list[redis.Redis]:
        """Return a client of each node with slots."""
        return self.connection_pool.nodes()

    def mget(self, keys: Any, *more: Any) -> list[Any]:
        """Return values. Raises the error of the first node that failed."""
        names = list_or_args(keys, more)
        return [value for (value,) in self._each((["MGET", name], {}) for name in names)]

    def mget_reachable(self, keys: Sequence[str]) -> list[bytes | None]:
        """Return values, None for those of failed nodes. Raises only if all nodes failed."""
        replies = self.ask((["MGET", key], {}) for key in keys)
        if all(isinstance(reply, Exception) for reply in replies):
            _raise_first(replies)
        return [None if isinstance(reply, Exception) else reply[0] for reply in replies]

    def mset(self, mapping: Mapping[Any, Any]) -> bool:
        """Set values; not in one step."""
        return all(self._each((["SET", key, value], {}) for key, value in mapping.items()))

    def delete(self, *names: Any) -> int:
        """Delete keys, and return how many there were."""
        return self._count("DEL", names)

    def unlink(self, *names: Any) -> int:
        """Unlink keys, and return how many there were."""
        return self._count("UNLINK", names)

    def exists(self, *names: Any) -> int:
        """Return how many of the keys exist."""
        return self._count("EXISTS", names)

    def flushdb(self, asynchronous: bool = False, **options: Any) -> bool:
        """Empty every node."""
        return all(self._everywhere(lambda node: node.flushdb(asynchronous, **options)))

    def flushall(self, asynchronous: bool = False, **options: Any) -> bool:
        """Empty every node."""
        return all(self._everywhere(lambda node: node.flushall(asynchronous, **options)))

    def dbsize(self, **options: Any) -> int:
        """Return the number of keys of all nodes."""
        return sum(self._everywhere(lambda node: node.dbsize(**options)))

    def keys(self, pattern: Any = "*", **options: Any) -> list[Any]:
        """Return the matching keys of all nodes."""
        return list(chain.from_iterable(self._everywhere(lambda node: node.keys(pattern, **options))))

    def scan_iter(self, *arguments: Any, **options: Any) -> Iterator[Any]:
        """Yield the keys of all nodes."""
        for node in self.nodes():
            yield from node.scan_iter(*arguments, **options)

    def ping(self, **options: Any) -> bool:
        """Return whether every node answers."""
        return all(self._everywhere(lambda node: node.ping(**options)))

    def _count(self, word: str, names: Sequence[Any]) -> int:
        return sum(self._each(([word, name], {}) for name in names))

    def _each(self, commands: Iterable[tuple[Sequence[Any], dict[str, Any]]]) -> list[Any]:
        replies = self.ask(commands)
        _raise_first(replies)
        return replies

    def _everywhere(self, call: Callable[[redis.Redis], T]) -> list[T]:
        return [call(node) for node in self.nodes()]


class Batch(Pipeline):
    """Pipeline of a Cluster."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__(cluster.connection_pool, cluster.response_callbacks, False, None)
        self._cluster = cluster

    def execute(self, raise_on_error: bool = True) -> list[Any]:
        """Send all commands, and return their replies in order."""
        stack, self.command_stack = self.command_stack, []
        replies = self._cluster.ask(stack)
        if raise_on_error:
            _raise_first(replies)
        return replies


def _key(arguments: Sequence[Any]) -> Any:
    """Return the key of a command. Raises DataError for a command without one."""
    name = str(arguments[0]).upper()
    if FOR_ONE_SERVER.fullmatch(name):
        raise redis.DataError(f"{name} is a command for one server: send it to each of nodes(client)")
    at = 3 if name in SCRIPTS else 1
    if len(arguments) <= at or (at == 3 and not int(arguments[2])):
        raise redis.DataError(f"{name} without a key: a cluster cannot tell which node to ask")
    return arguments[at]


def _raise_first(replies: Iterable[Any]) -> None:
    for reply in replies:
        if isinstance(reply, Exception):
            raise reply
