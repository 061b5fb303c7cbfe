"""A private PostgreSQL server. `python -m tests.support.postgres COMMAND...` sets DATABASE_URL for COMMAND.

Where DATABASE_URL names a PostgreSQL already, that one is used.
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Self

import psycopg

from tests.support.private_server import PrivateServer
from tests.support.redis_server import free_port

STARTS_WITHIN = 60.0  # seconds
FAST_NOT_SAFE = ("fsync=off", "synchronous_commit=off", "full_page_writes=off")


def binary(name: str) -> str:
    """Return a program from PATH, or the newest one where Debian keeps them. Raise FileNotFoundError."""
    debian = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"), key=lambda path: int(path.parts[-3]))
    found = shutil.which(name) or (str(debian[-1]) if debian else None)
    if found is None:
        raise FileNotFoundError(f"no {name} on this machine; install PostgreSQL or set DATABASE_URL")
    return found


def _account() -> str | None:
    """PostgreSQL refuses to run as root."""
    if os.getuid() != 0:
        return None
    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


class PostgresServer(PrivateServer):
    """Server on its own port of 127.0.0.1 without passwords; close() removes its data."""

    def __init__(self, *settings: str) -> None:
        """`settings` are `name=value`, as in postgresql.conf."""
        self._settings = settings
        self._account = _account()
        super().__init__("PostgreSQL", tempfile.TemporaryDirectory(prefix="postgres-"), free_port())

    @property
    def url(self) -> str:
        return f"postgres://postgres@127.0.0.1:{self.port}/postgres"

    def start(self) -> Self:
        data = Path(self._home.name) / "data"
        if self._account:
            shutil.chown(self._home.name, self._account)
        options = ["--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        initdb = [binary("initdb"), "--pgdata", str(data), *options]
        subprocess.run(initdb, check=True, stdout=subprocess.DEVNULL, user=self._account, cwd="/")
        self.restart()
        return self

    def restart(self) -> None:
        """Start the server again after `kill`, with its data."""
        data = Path(self._home.name) / "data"
        with (Path(self._home.name) / "log").open("wb") as log:
            self._process = subprocess.Popen(
                self._command(data), stdout=log, stderr=subprocess.STDOUT, user=self._account, cwd="/"
            )
        self._wait_until_ready(self._process, monotonic() + STARTS_WITHIN)

    def kill(self) -> None:
        """Kill the server with all its connections."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)
            self._process.wait()
            self._process = None

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            first = self._process.pid
            children = Path(f"/proc/{first}/task/{first}/children").read_text().split()
            for process in (first, *map(int, children)):
                os.kill(process, number)

    def _command(self, data: Path) -> list[str]:
        settings = (
            f"port={self.port}",
            "listen_addresses=127.0.0.1",
            "unix_socket_directories=",
            *FAST_NOT_SAFE,
            *self._settings,
        )
        return [
            binary("postgres"),
            "-D",
            str(data),
            *(word for setting in settings for word in ("-c", setting)),
        ]

    def _wait_until_ready(self, process: subprocess.Popen[bytes], deadline: float) -> None:
        while monotonic() < deadline:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
            except psycopg.OperationalError:
                self._fail_if_ended(process)
            else:
                return
        self.close()
        raise TimeoutError(f"PostgreSQL on port {self.port} not ready in {STARTS_WITHIN} s")


def main(command: list[str]) -> int:
    given = os.environ.get("DATABASE_URL", "")
    if given.startswith("postgres"):
        return subprocess.run(command, check=False).returncode
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # as Ctrl-C, so that the server ends too
    with PostgresServer() as server:
        return subprocess.run(command, check=False, env={**os.environ, "DATABASE_URL": server.url}).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
