"""Command line for a Redis server: `python3 run/redis_cli.py cache|store [COMMAND ...]`.

The server is that of `make run`, otherwise of REDIS_URL or REDIS_STORE_URL (exported, or in .env), otherwise
of docker-compose. This module imports the standard library only, because with containers there may be no
.venv.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from run.checkout import ROOT, environment, read_state

URL_OF = {"cache": "REDIS_URL", "store": "REDIS_STORE_URL"}
SENTINEL_SECONDS = 2.0


class Server(NamedTuple):
    """Address of a server. `number` is that of the database."""

    host: str
    port: int
    number: str
    user: str
    password: str
    tls: bool
    ca_file: str
    cluster: bool


def main(role: str, *words: str) -> NoReturn:
    """Replace this process by a command line for the server of `role`, which is `cache` or `store`."""
    os.chdir(ROOT)
    state = read_state()
    settings = environment(state)
    compose = [] if state or settings.get(URL_OF[role]) else find_compose()
    if compose and (service := f"redis-{role}") in list_services(compose):
        terminal = [] if sys.stdin.isatty() else ["-T"]
        replace_process([*compose, "exec", *terminal, service, "redis-cli", "-h", service, *words])
    if not settings.get(URL_OF[role]):
        sys.exit("No Redis server of this checkout runs: start it with `make run` or `docker-compose up`.")
    run_local(find_server(settings[URL_OF[role]], settings.get("REDIS_CA_FILE", "")), words)


def find_server(url: str, ca_file: str) -> Server:
    """Return the server of `url`; behind sentinels, the present master."""
    parts = urlsplit(url)
    sentinel = parts.scheme.startswith("sentinel")
    account, _, hosts = parts.netloc.rpartition("@")
    user, _, password = map(unquote, account.partition(":"))
    tls = parts.scheme.startswith(("rediss", "sentinels"))
    addresses = [parse_address(host, 26379 if sentinel else 6379) for host in hosts.split(",")]
    host, port = addresses[0]
    if sentinel:
        context = ssl.create_default_context(cafile=ca_file or None) if tls else None
        host, port = find_master(parts, addresses, context)
    number = parts.path.split("/")[-1] if parts.path.count("/") > sentinel else ""
    return Server(host, port, number or "0", user, password, tls, ca_file, "cluster" in parts.scheme)


def parse_address(host: str, port: int) -> tuple[str, int]:
    """Return host and port of `host[:port]`; `port` is the default."""
    split = urlsplit(f"//{host}")
    return split.hostname or "", split.port or port


def find_master(
    parts: SplitResult, sentinels: Sequence[tuple[str, int]], tls: ssl.SSLContext | None
) -> tuple[str, int]:
    """Return the address of the master from the first sentinel that responds."""
    query = parse_qs(parts.query)
    account = [query[name][0] for name in ("sentinel_username", "sentinel_password") if name in query]
    name = unquote(parts.path.split("/")[1])
    for sentinel in sentinels:
        try:
            return query_sentinel(sentinel, name, account, tls)
        except OSError as error:
            print(f"{sentinel[0]}:{sentinel[1]}: {error}", file=sys.stderr)
    sys.exit(f"No sentinel names the master {name}.")


def query_sentinel(
    sentinel: tuple[str, int], name: str, account: Sequence[str], tls: ssl.SSLContext | None
) -> tuple[str, int]:
    """Return the address of the master that one sentinel names.

    Raises:
        OSError: The sentinel does not respond, or has no such master.
    """
    with socket.create_connection(sentinel, SENTINEL_SECONDS) as plain:
        connection = tls.wrap_socket(plain, server_hostname=sentinel[0]) if tls else plain
        with connection, connection.makefile("rwb") as stream:
            if account and (reply := call(stream, "AUTH", *account)) != "+OK":
                raise OSError(reply)
            if (reply := call(stream, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)) != "*2":
                raise OSError(f"has no master {name} ({reply})")
            _size, host, _size, port = (stream.readline().decode().strip() for _ in range(4))
    return host, int(port)


def call(stream: Any, *words: str) -> str:
    """Send a command and return the first line of the reply.

    The protocol is <https://redis.io/docs/latest/develop/reference/protocol-spec/>.
    """
    parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    stream.write(f"*{len(words)}\r\n{parts}".encode())
    stream.flush()
    return str(stream.readline().decode().strip())


def run_local(server: Server, words: Sequence[str]) -> NoReturn:
    """Run redis-cli, or iredis where it is missing."""
    if program := shutil.which("redis-cli") or shutil.which("valkey-cli"):
        # The environment hides the password: every user of the machine can read a command line.
        os.environ |= {"REDISCLI_AUTH": server.password} if server.password else {}
        replace_process([program, *redis_cli_options(server), *words])
    if server.ca_file:
        os.environ["SSL_CERT_FILE"] = server.ca_file
    subprocess.run([sys.executable, "run/install.py", "cli"], check=True)
    iredis = [".venv-cli/bin/iredis", "--iredisrc", "run/iredisrc", "--url", iredis_url(server)]
    # The database, in the form of redis-cli.
    if words[:1] == ("-n",):
        iredis, words = [*iredis, *words[:2]], words[2:]
    if not words:
        replace_process(iredis)
    # Without a terminal, iredis reads its standard input and no arguments.
    sys.exit(subprocess.run(iredis, input=shlex.join(words), text=True, check=False).returncode)


def redis_cli_options(server: Server) -> list[str]:
    """Return the options of redis-cli for a server, without the password."""
    options = ["-h", server.host, "-p", str(server.port), "-n", server.number]
    options += ["--user", server.user] if server.user else []
    options += ["--tls"] if server.tls else []
    options += ["--cacert", server.ca_file] if server.tls and server.ca_file else []
    return options + (["-c"] if server.cluster else [])


def iredis_url(server: Server) -> str:
    """Return the address of a server for iredis, with the password."""
    scheme = "rediss" if server.tls else "redis"
    account = f"{quote(server.user)}:{quote(server.password, safe='')}@" if server.password else ""
    return f"{scheme}://{account}{server.host}:{server.port}/{server.number}"


def replace_process(command: list[str]) -> NoReturn:
    """Run the command in place of this process."""
    os.execvp(command[0], command)


def find_compose() -> list[str]:
    """Return the command of docker-compose, or nothing where it is not installed."""
    for words in (["docker", "compose"], ["docker-compose"]):
        try:
            subprocess.run([*words, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return words
    return []


def list_services(compose: list[str]) -> list[str]:
    """Return the services of docker-compose that run."""
    listing = subprocess.run(
        [*compose, "ps", "--services", "--filter", "status=running"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return listing.stdout.split()


if __name__ == "__main__":
    main(*sys.argv[1:])
