"""The real web server, worker and beat in each wrong set-up: how they end, and what they say.

docs/redis-mandatory.md has a row for each set-up, with the very line and status.
"""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest
import redis

from tests.support.cluster import RedisCluster
from tests.support.old_server import OldServer
from tests.support.redis_server import RedisServer, free_port
from tests.support.sentinel import SentinelPair
from tests.support.tls import TlsServer, papers

ROOT = Path(__file__).parents[2]
IMAGES = ROOT / "docker" / "images"
DOCUMENT = (ROOT / "docs" / "redis-mandatory.md").read_text()
ENDS_WITHIN = 120.0  # seconds
ROW = re.compile(r"^\| (?P<title>[^|`]+) \| `(?P<line>.+)` \| (?P<status>\d+) \|$", re.MULTILINE)
STARTS = "→ Application starts"
REFUSES = "→ Application REFUSES to start"
KINDS = {
    "web": ["-m", "run.web"],
    "worker": ["-m", "celery", "--quiet", "-A", "tecken", "worker", "--loglevel", "error"],
    "beat": ["-m", "celery", "--quiet", "-A", "tecken", "beat", "--loglevel", "error"],
}
Settings = Mapping[str, str]


class Servers(NamedTuple):
    cache: RedisServer
    store: RedisServer
    plain: RedisServer


@pytest.fixture(scope="module")
def servers() -> Iterator[Servers]:
    """Both as they should be, and one as it comes: no limit of memory, noeviction, nothing on disk."""
    with (
        RedisServer(IMAGES / "redis-cache" / "redis.conf") as cache,
        RedisServer(IMAGES / "redis" / "redis.conf") as store,
        RedisServer() as plain,
    ):
        yield Servers(cache, store, plain)


def well(servers: Servers) -> dict[str, str]:
    return {
        "SECRET_KEY": "Long, random & 64 characters: 0aZ1bY2cX3dW4eV5fU6gT7hS8iR9jQ",
        "REDIS_URL": servers.cache.url,
        "REDIS_STORE_URL": servers.store.url,
        "REDIS_STARTUP_SECONDS": "0",
    }


@contextmanager
def changed(server: RedisServer, *pairs: str) -> Iterator[str]:
    """Yield the server's URL while CONFIG SET is in force."""
    with redis.Redis.from_url(server.url) as client:
        before = {name: str(client.config_get(name)[name]) for name in pairs[::2]}
        client.config_set(*pairs)
        try:
            yield server.url
        finally:
            for name, value in before.items():
                client.config_set(name, value)


@contextmanager
def account(server: RedisServer, *rules: str) -> Iterator[str]:
    """Yield the server's URL for a user with the permissions in `rules`."""
    with redis.Redis.from_url(server.url) as client:
        client.execute_command("ACL", "SETUSER", "ted", "on", ">s3cret", *rules)
        try:
            yield server.url.replace("//", "//ted:s3cret@")
        finally:
            client.acl_deluser("ted")


@contextmanager
def replica() -> Iterator[str]:
    with RedisServer(IMAGES / "redis" / "redis.conf") as server, redis.Redis.from_url(server.url) as client:
        client.replicaof("127.0.0.1", free_port())
        yield server.url


@contextmanager
def secure(server: RedisServer) -> Iterator[str]:
    """Yield the URL of a TLS server whose authority no client trusts."""
    with papers() as shown, TlsServer(shown) as front:
        yield front.secure_url


@contextmanager
def old(server: RedisServer) -> Iterator[str]:
    with OldServer(server.port) as relay:
        yield relay.url


@contextmanager
def mute() -> Iterator[str]:
    with RedisServer() as server:
        server.pause()
        yield server.url


@contextmanager
def cluster() -> Iterator[str]:
    with RedisCluster(primaries=1) as running:
        yield running.primaries[0].server.url


@contextmanager
def wrong(title: str, servers: Servers) -> Iterator[Settings]:
    """Return the settings that differ from `well`."""
    refused = f"redis://:s3cret@127.0.0.1:{free_port()}"
    with ExitStack() as stack:
        enter = stack.enter_context
        match title:
            case "REDIS_URL is not set":
                yield {"REDIS_URL": ""}
            case "REDIS_STORE_URL is not set":
                yield {"REDIS_STORE_URL": ""}
            case "SECRET_KEY is not set":
                yield {"SECRET_KEY": ""}
            case "a short SECRET_KEY, in production":
                yield {"SECRET_KEY": "x", "ENVIRONMENT": "production"}
            case "a published SECRET_KEY, in production":
                yield {"SECRET_KEY": "for-local-use-only" * 3, "ENVIRONMENT": "production"}
            case "debug pages, in production":
                yield {"DEBUG": "true", "ENVIRONMENT": "production"}
            case "any host, in production":
                yield {"ALLOWED_HOSTS": "*", "ENVIRONMENT": "production"}
            case "a published database password, in production":
                yield {"DATABASE_URL": "postgres://tecken:tecken@db/tecken", "ENVIRONMENT": "production"}
            case "cookies over plain HTTP, in production":
                yield {"HTTPS_ONLY": "true", "SECURE_COOKIES": "false", "ENVIRONMENT": "production"}
            case "a storage or upstream that cannot be":
                yield {"SYMBOL_SOURCES": "https://user:s3cret@host/,symsv+https://user:s3cret@host/"}
            case "a password that is not percent-encoded":
                yield {"REDIS_URL": "redis://:s3cret@w#r/d@redis-cache:6379"}
            case "a scheme that is not known":
                yield {"REDIS_STORE_URL": "http://redis-store:6379"}
            case "a host name that does not exist":
                yield {"REDIS_URL": "redis://:s3cret@redis-cache.invalid:6379"}
            case "nobody listens":
                yield {"REDIS_URL": refused}
            case "the store is not there":
                yield {"REDIS_STORE_URL": refused}
            case "the server hangs":
                yield {"REDIS_URL": enter(mute())}
            case "a wrong password":
                with_password = enter(changed(servers.plain, "requirepass", "another"))
                yield {"REDIS_URL": with_password.replace("//", "//:s3cret@")}
            case "TLS on a port that speaks none":
                yield {"REDIS_URL": servers.cache.url.replace("redis:", "rediss:")}
            case "a certificate of an unknown authority":
                yield {"REDIS_URL": enter(secure(servers.cache))}
            case "an account that may not do all":
                yield {"REDIS_URL": enter(account(servers.cache, "~*", "&*", "+@all", "-lpush", "-publish"))}
            case "too few databases":
                yield {"REDIS_URL": enter(RedisServer(databases="2")).url}
            case "a replica":
                yield {"REDIS_STORE_URL": enter(replica())}
            case "a server that is too old":
                yield {"REDIS_URL": enter(old(servers.cache))}
            case "a cluster as redis-cache":
                yield {"REDIS_URL": enter(cluster())}
            case "redis-cache may evict jobs":
                yield {"REDIS_URL": enter(changed(servers.cache, "maxmemory-policy", "allkeys-lru"))}
            case "the store has no limit":
                yield {"REDIS_STORE_URL": enter(changed(servers.store, "maxmemory", "0"))}
            case "the store evicts nothing":
                yield {"REDIS_STORE_URL": enter(changed(servers.store, "maxmemory-policy", "noeviction"))}
            case "one server for both, in production":
                yield {"REDIS_STORE_URL": servers.cache.url, "ENVIRONMENT": "production"}
            case "demo mode in production":
                yield {"DEMO_MODE": "true", "ENVIRONMENT": "production"}
            case _:
                raise AssertionError(f"no such set-up is known here: {title}")


ROWS = [match.groupdict() for match in ROW.finditer(DOCUMENT)]


def environment(settings: Settings) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return {**kept, "WEB_PORT": str(free_port()), "WEB_PROCESSES": "1", **settings}


def ended(arguments: list[str], settings: Settings) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=ENDS_WITHIN,
        check=False,
    )


def named(text: str) -> str:
    """Return the text with the addresses of the document."""
    return re.sub(r"(?<=[/@ ])127\.0\.0\.1:\d+", "redis:6379", text)


@pytest.mark.parametrize("kind", ["web", "worker"])
@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["title"])
def test_start_with_a_wrong_setup_is_refused(row: dict[str, str], kind: str, servers: Servers) -> None:
    with wrong(row["title"], servers) as settings:
        end = ended(KINDS[kind], {**well(servers), **settings})
    said = named(end.stdout).splitlines()
    assert row["line"] in [line for line in said if line.startswith("❌")]
    assert said[-1] == REFUSES
    assert end.returncode == int(row["status"])
    assert "s3cret" not in end.stdout


def test_document_lists_every_tested_setup() -> None:
    known = re.findall(r'case "(.+)":', inspect.getsource(wrong))
    assert sorted(known) == sorted(row["title"] for row in ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_start_with_several_problems_reports_all(kind: str) -> None:
    end = ended(KINDS[kind], {})
    assert of_start(end.stdout.splitlines()) == block("nothing is set")
    assert end.returncode == 78


def test_start_of_the_wsgi_entry_without_redis_is_refused() -> None:
    end = ended(["-c", "import tecken.wsgi"], {})
    assert set(block("nothing is set")) <= set(end.stdout.splitlines())
    assert end.returncode == 78


def test_start_of_web_with_variables_of_the_former_server_is_refused(servers: Servers) -> None:
    end = ended(KINDS["web"], {**well(servers), "GRANIAN_PORT": "8000"})
    last = end.stdout.splitlines()[-1]
    assert last.startswith("❌ Configuration validation failed: GRANIAN_PORT: replaced by WEB_HOST")
    assert end.returncode == 78


def test_start_with_an_unreadable_setting_names_it() -> None:
    end = ended(KINDS["web"], {"UPLOAD_THREADS": "many"})
    assert "UPLOAD_THREADS" in end.stdout
    assert end.returncode == 78


@pytest.mark.parametrize("kind", KINDS)
def test_start_with_a_right_setup_succeeds(kind: str, servers: Servers, tmp_path: Path) -> None:
    with started(kind, {**well(servers), **place(tmp_path)}) as lines:
        said = [named(line) for line in up_to(STARTS, lines)]
    assert of_start(said) == block("all is well")


def test_start_of_a_demo_prints_warnings(tmp_path: Path) -> None:
    demo = {"DEMO_MODE": "true", "RUNTIME_CONFIG_FILE": f"{tmp_path}/config.json"}
    with started("web", {**demo, **place(tmp_path)}) as lines:
        said = up_to(STARTS, lines)
    assert of_start(said) == block("a demo")


@contextmanager
def right(title: str) -> Iterator[Settings]:
    with ExitStack() as stack:
        enter = stack.enter_context
        match title:
            case "sentinels":
                pair = enter(SentinelPair(IMAGES / "redis-cache" / "redis.conf", password="s3cret"))
                yield {"REDIS_URL": pair.url}
            case "a cluster as store":
                yield {"REDIS_STORE_URL": enter(RedisCluster(IMAGES / "redis" / "redis.conf")).url}
            case "TLS":
                shown = enter(papers())
                cache = enter(TlsServer(shown, IMAGES / "redis-cache" / "redis.conf"))
                yield {"REDIS_URL": cache.secure_url, "REDIS_CA_FILE": str(shown.authority)}


@pytest.mark.parametrize("title", ["sentinels", "a cluster as store", "TLS"])
def test_start_with_sentinels_cluster_or_tls_succeeds(title: str, servers: Servers) -> None:
    with right(title) as settings:
        end = ended(["manage.py", "check_redis"], {**well(servers), **settings})
    assert [line for line in end.stdout.splitlines() if "❌" in line] == []
    assert end.returncode == 0
    assert "s3cret" not in end.stdout


def test_start_before_redis_waits_for_it(servers: Servers, tmp_path: Path) -> None:
    late = RedisServer(IMAGES / "redis-cache" / "redis.conf")
    try:
        patient = {"REDIS_URL": late.url, "REDIS_STARTUP_SECONDS": "120"}
        with started("web", {**well(servers), **place(tmp_path), **patient}) as lines:
            waits = [named(line) for line in up_to("⚠ Waiting", lines)]
            late.start()
            up_to(STARTS, lines)
    finally:
        late.close()
    assert (
        waits[-1]
        == "⚠ Waiting up to 120 s: Failed to connect to Redis at redis://redis:6379: connection refused"
    )


def test_start_with_json_logs_prints_json(servers: Servers) -> None:
    end = ended(KINDS["web"], {"LOG_FORMAT": "json"})
    assert all(line.startswith('{"time": ') for line in end.stdout.splitlines())


def test_commands_without_redis_succeed(tmp_path: Path) -> None:
    end = ended(
        ["manage.py", "migrate", "--verbosity", "0"], {**place(tmp_path), "REDIS_URL": "redis://:p@ss#w"}
    )
    assert end.stdout == ""
    assert end.returncode == 0


@pytest.mark.parametrize("row", ROWS[::7], ids=lambda row: row["title"])
def test_check_redis_reports_the_problems_of_a_start(row: dict[str, str], servers: Servers) -> None:
    with wrong(row["title"], servers) as settings:
        end = ended(["manage.py", "check_redis"], {**well(servers), **settings})
    text = row["line"].partition("validation failed: ")[2]
    assert [line for line in named(end.stdout).splitlines() if line.startswith("❌") and line.endswith(text)]
    assert end.returncode == int(row["status"])


def of_start(lines: list[str]) -> list[str]:
    """Beat writes to its log before it looks."""
    return [line for line in lines if line.startswith(("✓", "⚠", "❌", "→"))]


def block(title: str) -> list[str]:
    """Return the output that the document shows after `<!-- title -->`."""
    found = re.search(rf"<!-- {title} -->\n+```\w*\n(?:\$ [^\n]*\n)?(.*?)```", DOCUMENT, re.DOTALL)
    assert found
    return found[1].splitlines()


def place(home: Path) -> Settings:
    return {"DATABASE_URL": f"sqlite:///{home}/tecken.sqlite3", "STORAGE_URL": (home / "storage").as_uri()}


@contextmanager
def started(kind: str, settings: Settings) -> Iterator[Iterator[str]]:
    """Start a process and yield its lines as they come; end it afterwards."""
    arguments = (
        [*KINDS[kind], "--schedule", settings["DATABASE_URL"][10:] + "-beat"]
        if kind == "beat"
        else KINDS[kind]
    )
    process = subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env=environment(settings),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        yield (line.rstrip("\n") for line in process.stdout)
    finally:
        process.terminate()
        process.communicate(timeout=ENDS_WITHIN)


def up_to(start: str, lines: Iterator[str]) -> list[str]:
    seen = []
    for line in lines:
        seen.append(line)
        if line.startswith(start):
            return seen
    raise AssertionError(f"it ended before it said {start!r}: {seen}")
