"""A master, a replica and sentinels that fail over within a second, for one test."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from threading import Event
from time import monotonic
from types import TracebackType
from typing import Any, Self

import redis

from tests.support.redis_server import RedisServer, free_port, server_binary

NAME = "tecken"
DOWN_AFTER_MILLISECONDS = 1000  # a healthy server answers before on a busy machine, too
SETTLES_WITHIN = 60.0  # seconds


def wait_until(holds: Callable[[], bool], seconds: float, what: str) -> None:
    """Poll every 20 ms until the condition holds; a server that does not answer counts as no."""
    pause = Event()
    deadline = monotonic() + seconds
    while not _holds(holds):
        if monotonic() > deadline:
            raise TimeoutError(f"not within {seconds} s: {what}")
        pause.wait(0.02)


def _holds(holds: Callable[[], bool]) -> bool:
    try:
        return holds()
    except (redis.RedisError, ConnectionError):
        return False


class SentinelPair:
    """Context manager of two servers with sentinels. `master` is the present master; `other` replicates it.

    Both servers run `conf_path` with `directives`; there are three sentinels, and two of them decide. With a
    `password` all five want it.
    """

    def __init__(
        self,
        conf_path: Path | None = None,
        password: str = "",
        server: Callable[..., RedisServer] = RedisServer,
        **directives: str,
    ) -> None:
        self._password = password
        at_once = {"repl_diskless_sync_delay": "0", **directives}
        self.master = server(conf_path, **at_once)
        self.other = server(conf_path, **at_once)
        self._ports = [free_port() for _ in range(3)]
        self._home = tempfile.TemporaryDirectory(prefix="sentinel-")
        self._sentinels: list[subprocess.Popen[bytes]] = []
        self._running = ExitStack()

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{port}" for port in self._ports)
        if not self._password:
            return f"sentinel://{hosts}/{NAME}/0"
        return f"sentinel://:{self._password}@{hosts}/{NAME}/0?sentinel_password={self._password}"

    def start(self) -> Self:
        self._running.enter_context(self.master)
        self._running.enter_context(self.other)
        self._protect()
        with self._connected(self.other.port) as replica:
            replica.replicaof("127.0.0.1", self.master.port)
        self._running.callback(self.stop_sentinels)
        for port in self._ports:
            self._sentinels.append(self._sentinel(port))
        self._wait_until_settled()
        return self

    def failover(self) -> None:
        """Start a failover of a healthy master, which accepts commands for another ten seconds."""
        with self._connected(self._ports[0]) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", NAME)
        self.wait_for_other()

    def wait_for_other(self) -> None:
        """Wait until every sentinel names the other server as master."""
        wait_until(self._other_is_master, SETTLES_WITHIN, "the replica became the master")
        self.master, self.other = self.other, self.master

    def stop_sentinels(self) -> None:
        for sentinel in self._sentinels:
            _end(sentinel)

    def close(self) -> None:
        self._running.close()
        self._home.cleanup()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _connected(self, port: int) -> redis.Redis:
        url = f"redis://:{self._password}@127.0.0.1:{port}"
        return redis.Redis.from_url(url, socket_timeout=1, socket_connect_timeout=1)

    def _protect(self) -> None:
        for server in (self.master, self.other) if self._password else ():
            with redis.Redis.from_url(server.url) as opened:
                opened.config_set("masterauth", self._password, "requirepass", self._password)

    def _sentinel(self, port: int) -> subprocess.Popen[bytes]:
        conf = Path(self._home.name) / f"{port}.conf"  # a sentinel writes into its own file
        conf.write_text("\n".join([*self._settings(port), *self._passwords()]))
        with (Path(self._home.name) / f"{port}.log").open("wb") as log:
            return subprocess.Popen([server_binary(), str(conf), "--sentinel"], stdout=log, stderr=log)

    def _settings(self, port: int) -> list[str]:
        """Return settings that list all sentinels, because discovery would take seconds."""
        peers = sorted(set(self._ports) - {port})
        return [
            f"port {port}",
            "bind 127.0.0.1",
            f"dir {self._home.name}",
            f"sentinel monitor {NAME} 127.0.0.1 {self.master.port} 2",
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MILLISECONDS}",
            f"sentinel failover-timeout {NAME} 2000",
            f"sentinel known-replica {NAME} 127.0.0.1 {self.other.port}",
            f"sentinel myid {port:040x}",
            *(f"sentinel known-sentinel {NAME} 127.0.0.1 {peer} {peer:040x}" for peer in peers),
        ]

    def _passwords(self) -> list[str]:
        names = (f"sentinel auth-pass {NAME}", "sentinel sentinel-pass", "requirepass")
        return [f"{name} {self._password}" for name in names] if self._password else []

    def _wait_until_settled(self) -> None:
        wait_until(self._all_know_each_other, SETTLES_WITHIN, "the sentinels found each other")
        wait_until(self._replica_is_linked, SETTLES_WITHIN, "the replica has what the master has")

    def _all_know_each_other(self) -> bool:
        return all((state["num-other-sentinels"], state["num-slaves"]) == (2, 1) for state in self._states())

    def _replica_is_linked(self) -> bool:
        with self._connected(self.other.port) as replica:
            return bool(replica.info("replication").get("master_link_status") == "up")

    def _other_is_master(self) -> bool:
        return all(state["port"] == self.other.port for state in self._states())

    def _states(self) -> list[Any]:
        states = []
        for port in self._ports:
            with self._connected(port) as sentinel:
                states.append(sentinel.sentinel_master(NAME))
        return states


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.wait()
