"""`make redis-*-cli`, with a redis-cli that tells how it was called."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from run.redis_cli import Server, find_server, iredis_url
from tecken.settings import BASE_DIR
from tests.support.redis_server import free_port
from tests.support.sentinel import SentinelPair
from tests.support.tls import Papers, TlsSentinelPair, papers

TELLS = """#!{python}
import json, os, sys
print(json.dumps([sys.argv[1:], os.environ.get("REDISCLI_AUTH")]))
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    """Return a PATH whose first redis-cli prints its arguments."""
    program = tmp_path / "redis-cli"
    program.write_text(TELLS.format(python=sys.executable))
    program.chmod(0o755)
    return f"{tmp_path}:{os.environ['PATH']}"


@pytest.mark.parametrize(
    ("url", "options", "password"),
    [
        ("redis://h", "-h h -p 6379 -n 0", None),
        ("redis://:p%40@h:1/3", "-h h -p 1 -n 3", "p@"),
        ("rediss://ted:p@h", "-h h -p 6379 -n 0 --user ted --tls --cacert /ca.pem", "p"),
        ("redis-cluster://a:7000,b", "-h a -p 7000 -n 0 -c", None),
        ("rediss-cluster://:p@a/0", "-h a -p 6379 -n 0 --tls --cacert /ca.pem -c", "p"),
    ],
)
def test_redis_cli_receives_the_options_of_the_url(
    path: str, url: str, options: str, password: str | None
) -> None:
    environ = {"PATH": path, "REDIS_STORE_URL": url, "REDIS_CA_FILE": "/ca.pem"}
    command = [sys.executable, "run/redis_cli.py", "store", "config", "get", "maxmemory"]
    done = subprocess.run(command, env=environ, cwd=BASE_DIR, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[*options.split(), "config", "get", "maxmemory"], password]


@pytest.fixture(scope="module")
def trusted() -> Iterator[Papers]:
    with papers() as made:
        yield made


def test_find_server_behind_sentinels_returns_the_master() -> None:
    with SentinelPair(password="secret") as pair:
        dead = pair.url.replace("@", f"@127.0.0.1:{free_port()},")
        expected = Server("127.0.0.1", pair.master.port, "0", "", "secret", False, "", False)
        assert find_server(dead, "") == expected


def test_find_server_queries_sentinels_over_tls(trusted: Papers) -> None:
    with TlsSentinelPair(trusted) as pair:
        authority = str(trusted.authority)
        there = find_server(pair.secure_url, authority)
        assert (there.port, there.tls, there.ca_file) == (pair.master.port, True, authority)
        with pytest.raises(SystemExit, match="No sentinel names"):
            find_server(pair.secure_url, "")


def test_find_server_of_an_unknown_master_fails() -> None:
    with SentinelPair() as pair, pytest.raises(SystemExit, match="No sentinel names the master other"):
        find_server(pair.url.replace("/tecken/", "/other/"), "")


def test_iredis_url_has_account_and_database() -> None:
    there = Server("h", 6379, "2", "ted", "p@/", True, "", False)
    assert iredis_url(there) == "rediss://ted:p%40%2F@h:6379/2"
