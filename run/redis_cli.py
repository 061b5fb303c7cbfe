"""`python3 run/redis_cli.py cache|store [COMMAND ...]`: on the server of `make run`, else of REDIS_URL or
REDIS_STORE_URL (exported, or in .env), else of docker-compose.

Plain standard library: beside containers there may be no .venv.
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

from run.checkout import ROOT, environment, running

URL_OF = {"cache": "REDIS_URL", "store": "REDIS_STORE_URL"}
SENTINEL_SECONDS = 2.0


class Server(NamedTuple):
    host: str
    port: int
    number: str  # of the database
    user: str
    password: str
    tls: bool
    ca_file: str
    cluster: bool


def main(role: str, *words: str) -> NoReturn:
    os.chdir(ROOT)
    ours = running()
    known = environment(ours)
    compose = [] if ours or known.get(URL_OF[role]) else compose_command()
    if compose and (service := f"redis-{role}") in up(compose):
        terminal = [] if sys.stdin.isatty() else ["-T"]
        become([*compose, "exec", *terminal, service, "redis-cli", "-h", service, *words])
    if not known.get(URL_OF[role]):
        sys.exit("No Redis server of this checkout runs: start it with `make run` or `docker-compose up`.")
    local(server(known[URL_OF[role]], known.get("REDIS_CA_FILE", "")), words)


def server(url: str, ca_file: str) -> Server:
    """Behind sentinels: the master of now."""
    named = urlsplit(url)
    sentinel = named.scheme.startswith("sentinel")
    account, _, hosts = named.netloc.rpartition("@")
    user, _, password = map(unquote, account.partition(":"))
    tls = named.scheme.startswith(("rediss", "sentinels"))
    addresses = [address(host, 26379 if sentinel else 6379) for host in hosts.split(",")]
    host, port = master(named, addresses, context(ca_file) if tls else None) if sentinel else addresses[0]
    number = named.path.split("/")[-1] if named.path.count("/") > sentinel else ""
    return Server(host, port, number or "0", user, password, tls, ca_file, "cluster" in named.scheme)


def address(host: str, port: int) -> tuple[str, int]:
    split = urlsplit(f"//{host}")
    return split.hostname or "", split.port or port


def context(ca_file: str) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=ca_file or None)


def master(
    named: SplitResult, sentinels: Sequence[tuple[str, int]], tls: ssl.SSLContext | None
) -> tuple[str, int]:
    query = parse_qs(named.query)
    account = [query[name][0] for name in ("sentinel_username", "sentinel_password") if name in query]
    name = unquote(named.path.split("/")[1])
    for sentinel in sentinels:
        try:
            return asked(sentinel, name, account, tls)
        except OSError as error:
            print(f"{sentinel[0]}:{sentinel[1]}: {error}", file=sys.stderr)
    sys.exit(f"No sentinel says which server {name} is.")


def asked(
    sentinel: tuple[str, int], name: str, account: Sequence[str], tls: ssl.SSLContext | None
) -> tuple[str, int]:
    """Raises OSError; also when it knows no such master."""
    with socket.create_connection(sentinel, SENTINEL_SECONDS) as plain:
        spoken = tls.wrap_socket(plain, server_hostname=sentinel[0]) if tls else plain
        with spoken, spoken.makefile("rwb") as stream:
            if account and (no := answer(stream, "AUTH", *account)) != "+OK":
                raise OSError(no)
            if (no := answer(stream, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)) != "*2":
                raise OSError(f"knows no {name} ({no})")
            _size, host, _size, port = (stream.readline().decode().strip() for _ in range(4))
    return host, int(port)


def answer(stream: Any, *words: str) -> str:
    """Its first line; <https://redis.io/docs/latest/develop/reference/protocol-spec/>."""
    parts = "".join(f"${len(word.encode())}\r\n{word}\r\n" for word in words)
    stream.write(f"*{len(words)}\r\n{parts}".encode())
    stream.flush()
    return str(stream.readline().decode().strip())


def local(there: Server, words: Sequence[str]) -> NoReturn:
    """Passwords are told in the environment: anybody may read a command line."""
    if found := shutil.which("redis-cli") or shutil.which("valkey-cli"):
        os.environ |= {"REDISCLI_AUTH": there.password} if there.password else {}
        become([found, *redis_cli_options(there), *words])
    if there.ca_file:
        os.environ["SSL_CERT_FILE"] = there.ca_file
    subprocess.run([sys.executable, "run/install.py", "cli"], check=True)
    iredis = [".venv-cli/bin/iredis", "--iredisrc", "run/iredisrc", "--url", iredis_url(there)]
    if words[:1] == ("-n",):  # the database, as redis-cli takes it
        iredis, words = [*iredis, *words[:2]], words[2:]
    if not words:
        become(iredis)
    # Away from a terminal iredis reads its standard input and no arguments.
    sys.exit(subprocess.run(iredis, input=shlex.join(words), text=True, check=False).returncode)


def redis_cli_options(there: Server) -> list[str]:
    options = ["-h", there.host, "-p", str(there.port), "-n", there.number]
    options += ["--user", there.user] if there.user else []
    options += ["--tls"] if there.tls else []
    options += ["--cacert", there.ca_file] if there.tls and there.ca_file else []
    return options + (["-c"] if there.cluster else [])


def iredis_url(there: Server) -> str:
    scheme = "rediss" if there.tls else "redis"
    account = f"{quote(there.user)}:{quote(there.password, safe='')}@" if there.password else ""
    return f"{scheme}://{account}{there.host}:{there.port}/{there.number}"


def become(command: list[str]) -> NoReturn:
    os.execvp(command[0], command)


def compose_command() -> list[str]:
    for words in (["docker", "compose"], ["docker-compose"]):
        try:
            subprocess.run([*words, "version"], capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return words
    return []


def up(compose: list[str]) -> list[str]:
    listed = subprocess.run(
        [*compose, "ps", "--services", "--filter", "status=running"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return listed.stdout.split()


if __name__ == "__main__":
    main(*sys.argv[1:])
