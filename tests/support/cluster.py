"""A Redis Cluster for one test, whose nodes know each other from the beginning."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import NamedTuple, Self

import redis

from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import wait_until

SLOTS = 16384
NODE_TIMEOUT_MILLISECONDS = 1000
SETTLES_WITHIN = 60.0  # seconds


class Node(NamedTuple):
    server: RedisServer
    id: str
    bus: int  # port
    primary: str  # id; its own where it is one
    slots: str

    def line(self, myself: Node) -> str:
        """Return a line of nodes.conf: https://redis.io/docs/latest/commands/cluster-nodes/"""
        flags = ("myself," if self is myself else "") + ("master" if self.slots else "slave")
        of = "-" if self.slots else self.primary
        address = f"127.0.0.1:{self.server.port}@{self.bus}"
        return f"{self.id} {address} {flags} {of} 0 0 {int(self.primary, 16)} connected {self.slots}".rstrip()


class RedisCluster:
    """Use as a context manager. The primaries have equal parts of the slots; the first `replicas` of them
    have a replica each."""

    def __init__(
        self,
        conf_path: Path | None = None,
        primaries: int = 3,
        replicas: int = 0,
        server: Callable[..., RedisServer] = RedisServer,
        **directives: str,
    ) -> None:
        self._running = ExitStack()
        self._server = partial(server, conf_path)
        self._directives = {
            "cluster_enabled": "yes",
            "cluster_config_file": "nodes.conf",
            "cluster_node_timeout": str(NODE_TIMEOUT_MILLISECONDS),
            "cluster_require_full_coverage": "no",
            "repl_diskless_sync_delay": "0",
            **directives,
        }
        self.primaries = [self._node(number, number, primaries) for number in range(primaries)]
        self.replicas = [self._node(primaries + number, number, 0) for number in range(replicas)]

    @property
    def servers(self) -> list[RedisServer]:
        """Return the initial primaries."""
        return [node.server for node in self.primaries]

    @property
    def url(self) -> str:
        return "redis-cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers)

    def start(self) -> Self:
        for node in self._all():
            (node.server.data / "nodes.conf").write_text(self._conf_of(node))
            node.server.start()
        wait_until(self.settled, SETTLES_WITHIN, "the nodes of the cluster found each other")
        return self

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self._running.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._running.close()

    def owner(self, slot: int) -> Node:
        """Return the initial owner of a slot."""
        return self.primaries[slot * len(self.primaries) // SLOTS]

    def other(self, slot: int) -> Node:
        """Return a primary that does not have the slot."""
        return next(node for node in self.primaries if node is not self.owner(slot))

    def open(self, slot: int, new: Node) -> None:
        """Begin to move the slot to another node: its keys may be on either."""
        self._set_slot(new, slot, "IMPORTING", self.owner(slot).id)
        self._set_slot(self.owner(slot), slot, "MIGRATING", new.id)

    def give(self, slot: int, new: Node) -> None:
        """Assign the slot, which must be empty, to another node."""
        for node in (new, *self.primaries):
            self._set_slot(node, slot, "NODE", new.id)

    def _set_slot(self, node: Node, slot: int, *what: str) -> None:
        with redis.Redis.from_url(node.server.url) as connected:
            connected.execute_command("CLUSTER", "SETSLOT", slot, *what)

    def _all(self) -> list[Node]:
        return self.primaries + self.replicas

    def _node(self, number: int, of: int, primaries: int) -> Node:
        bus = free_port()
        server = self._server(cluster_port=str(bus), **self._directives)
        self._running.callback(server.close)
        first, last = ((SLOTS * n // primaries if primaries else 0) for n in (number, number + 1))
        return Node(
            server, f"{number + 1:040x}", bus, f"{of + 1:040x}", f"{first}-{last - 1}" if primaries else ""
        )

    def _conf_of(self, node: Node) -> str:
        lines = [other.line(node) for other in self._all()]
        return "\n".join([*lines, f"vars currentEpoch {len(self.primaries)} lastVoteEpoch 0", ""])

    def settled(self) -> bool:
        """Return whether every node regards all as healthy."""
        return all(map(self._knows_all, self._all()))

    def _knows_all(self, node: Node) -> bool:
        with redis.Redis.from_url(node.server.url, socket_timeout=1, socket_connect_timeout=1) as client:
            info = client.cluster("info")
            linked = node.slots or client.info("replication").get("master_link_status") == "up"
            known = client.cluster("nodes")
        return bool(
            info["cluster_state"] == "ok" and linked and all(each["connected"] for each in known.values())
        )


def _share(number: int, primaries: int) -> str:
    if not primaries:
        return ""
    first, end = (SLOTS * n // primaries for n in (number, number + 1))
    return f"{first}-{end - 1}"
