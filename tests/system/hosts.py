"""Site on many hosts of one machine: its own programs, a Redis Cluster, Sentinel, PostgreSQL, an S3 server.

client      load, balancer (haproxy), an upstream with symbol files
web-1, -2   the web server
worker-1, -2    a worker and beat; one beat sends, the other stands by
store-1 to -6   redis-store: a cluster of three primaries with a replica each
cache-1, -2 redis-cache with a sentinel each; the third sentinel is on `sentinel`
database    PostgreSQL
bucket      versitygw, if S3_SERVER names it or it is installed; else moto, which keeps files in memory
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from typing import Final

import httpx
import psycopg
import redis

from tests.support.counted_jobs import COUNTED
from tests.support.network import CLIENT, HOME, Host, Network, run
from tests.support.postgres import binary
from tests.support.redis_server import server_binary
from tests.support.s3_server import ACCESS, SECRET, S3Bucket
from tests.support.sentinel import NAME, wait_until
from tests.system.site import IMAGES, NOTHING_KEPT, ROOT

WEB_PORT, BALANCER_PORT, UPSTREAM_PORT, S3_PORT, DATABASE_PORT = 8000, 8080, 8081, 7070, 5432
DRAIN_SECONDS = 4
STARTS_WITHIN = 240.0  # seconds, on a busy machine
SETTLES_WITHIN = 240.0
SLOTS = 16384
LOG_CHARACTERS = 600
OPTIONS: Final = {
    **NOTHING_KEPT,
    "symbolicate_deadline_seconds": 3.0,
    "absent_seconds": 1,
    "unreachable_seconds": 1,
    "source_timeout_seconds": 2,
    "source_deadline_seconds": 4,
}
POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", "--")
BALANCER = """
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  retries 3
  option redispatch 1
listen site
  bind {client}:{port}
  balance roundrobin
  option httpchk
  http-check send meth GET uri /health/ready ver HTTP/1.1 hdr Host {client}
  stats uri /balancer
  default-server inter 500ms fall 2 rise 2 check on-marked-down shutdown-sessions
"""


def find_missing() -> str:
    """Return the programs that the hosts need and this machine does not have."""
    missing = [name for name in ("haproxy", "bridge", "setpriv") if shutil.which(name) is None]
    try:
        binary("postgres")
    except FileNotFoundError:
        missing.append("postgres")
    return ", ".join(missing)


def find_s3_server() -> str | None:
    """Return the program that keeps its files when it is killed."""
    return os.environ.get("S3_SERVER") or shutil.which("versitygw")


class HostedSite:
    """Start everything with `start`. The end of this process ends it all."""

    def __init__(self) -> None:
        self.network = Network()
        add = self.network.add
        self.web = [add(f"web-{number}") for number in (1, 2)]
        self.workers = [add(f"worker-{number}") for number in (1, 2)]
        self.stores = [add(f"store-{number}") for number in range(1, 7)]
        self.caches = [add(f"cache-{number}") for number in (1, 2)]
        self.sentinel, self.database, self.bucket = add("sentinel"), add("database"), add("bucket")
        self.url = f"http://{CLIENT}:{BALANCER_PORT}"
        self.symbols, self.jobs_counted = HOME / "symbols", HOME / "jobs"
        self.symbols.mkdir()
        self.environment = self._environment()
        self._install()

    def start(self) -> None:
        """Start all hosts, and wait until both web hosts answer."""
        self.network.introduce()
        self._start_client()
        for host in (*self.stores, *self.caches, self.sentinel, self.bucket):
            host.start()
        self._start_database()
        wait_until(self.is_settled, SETTLES_WITHIN, "all Redis servers are in place")
        wait_until(partial(_listens, self.bucket, S3_PORT), STARTS_WITHIN, "the S3 server listens")
        S3Bucket.create(self.environment["AWS_ENDPOINT_URL"], "symbols")
        self.manage("migrate", "--verbosity", "0")
        self.manage("config", "set", *(str(each) for pair in OPTIONS.items() for each in pair))
        for host in (*self.web, *self.workers):
            host.start()
        self.wait_until_whole()

    def manage(self, *arguments: str) -> str:
        """Run a command on the client host and return its output."""
        command = [sys.executable, "manage.py", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        return done.stdout

    def log_ends(self) -> str:
        """Return the last lines of each program that has written any."""
        logs = sorted(path for path in HOME.glob("**/*.log") if path.stat().st_size)
        return "\n".join(f"== {path}\n{path.read_text(errors='replace')[-LOG_CHARACTERS:]}" for path in logs)

    def token(self) -> str:
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        return self.manage("createtoken", "load@example.com", *permission).strip()

    def wait_for_web(self, host: Host) -> None:
        """Wait until the web server of a host is ready, also for the balancer."""
        wait_until(partial(_is_ready, host), STARTS_WITHIN, f"{host.name} is ready")

    def wait_until_whole(self) -> None:
        wait_until(self.is_whole, SETTLES_WITHIN, "all hosts take part")

    def cache_master(self) -> Host:
        return next(host for host in self.caches if _role(host) == "master")

    def store_primary(self) -> Host:
        return next(host for host in self.stores if _role(host) == "master")

    def fail_over(self) -> None:
        """Make the replica of redis-cache its master, while both are healthy."""
        former = self.cache_master()
        with redis.Redis(self.sentinel.address, 26379) as sentinel:
            sentinel.execute_command("SENTINEL", "FAILOVER", NAME)
        wait_until(lambda: _role(former) == "slave" and self.is_settled(), SETTLES_WITHIN, "the failover")

    def beat_host(self) -> Host:
        """Return the host whose beat took the lock last."""
        return max(self.workers, key=_last_acquisition)

    def is_whole(self) -> bool:
        """Return whether all hosts take part, so that the next fault is the only one."""
        return self.is_settled() and self._is_balanced() and self._has_workers()

    def _is_balanced(self) -> bool:
        """Return whether the balancer sends requests to both web hosts."""
        rows = _read(f"{self.url}/balancer;csv").splitlines()
        return sum(row.startswith("site,web-") and ",UP," in row for row in rows) == len(self.web)

    def _has_workers(self) -> bool:
        metrics = _read(f"http://{self.web[0].address}:{WEB_PORT}/metrics")
        return f"\ntecken_workers {len(self.workers)}.0" in metrics

    def is_settled(self) -> bool:
        """Return whether each Redis master has its replica and all sentinels see the same."""
        roles = [_role(host) for host in self.stores]
        return (
            roles.count("master") == len(roles) // 2
            and all(_is_linked(host) for host in (*self.stores, *self.caches))
            and sorted(_role(host) for host in self.caches) == ["master", "slave"]
            and all(self._agrees(host) for host in (*self.caches, self.sentinel))
        )

    def _agrees(self, host: Host) -> bool:
        with redis.Redis(host.address, 26379, socket_timeout=1, socket_connect_timeout=1) as sentinel:
            state = sentinel.sentinel_master(NAME)
        master = self.cache_master().address
        counts = (state["num-other-sentinels"], state["num-slaves"])
        return state["ip"] == master and counts == (2, 1) and state["flags"] == "master"

    # What each host runs

    def _environment(self) -> dict[str, str]:
        sentinels = ",".join(host.address for host in (*self.caches, self.sentinel))
        nodes = ",".join(host.address for host in self.stores)
        return {
            **os.environ,
            "SECRET_KEY": "Only for tests: 0aZ1bY2cX3dW4eV5fU6gT7hS8iR9jQkPlOmNnMoL",
            "ALLOWED_HOSTS": ",".join((CLIENT, *(host.address for host in self.web))),
            "DATABASE_URL": f"postgres://postgres@{self.database.address}:{DATABASE_PORT}/postgres",
            "REDIS_URL": f"sentinel://{sentinels}/{NAME}",
            "REDIS_STORE_URL": f"redis-cluster://{nodes}",
            "STORAGE_URL": "s3://symbols",
            "AWS_ENDPOINT_URL": f"http://{self.bucket.address}:{S3_PORT}",
            "AWS_ACCESS_KEY_ID": ACCESS,
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_REGION": "us-east-1",
            "SYMBOL_SOURCES": f"http://{CLIENT}:{UPSTREAM_PORT}/",
            "WEB_PORT": str(WEB_PORT),
            "WEB_PROCESSES": "1",
            "DRAIN_SECONDS": str(DRAIN_SECONDS),
            COUNTED: str(self.jobs_counted),
        }

    def _install(self) -> None:
        for host in (*self.web, *self.workers):
            host.environment = {**self.environment, "WEB_HOST": host.address, "TMPDIR": str(host.home)}
        celery = (sys.executable, "-m", "celery", "--quiet", "-A", "tecken")
        for host in self.web:
            host.programs["web"] = (sys.executable, "-m", "run.web")
        for host in self.workers:
            options = ("--loglevel", "info", "--concurrency", "1", "--include", "tests.support.counted_jobs")
            host.programs["worker"] = (*celery, "worker", *options, "--hostname", f"celery@{host.name}")
            host.programs["beat"] = (*celery, "beat", "--loglevel", "info")
        for number, host in enumerate(self.stores):
            self._install_store(number, host)
        for host in self.caches:
            following = [] if host is self.caches[0] else [f"replicaof {self.caches[0].address} 6379"]
            _install_redis(host, "redis-cache", following)
        for host in (*self.caches, self.sentinel):
            self._install_sentinel(host)
        self.bucket.programs["s3"] = self._s3_command()

    def _install_store(self, number: int, host: Host) -> None:
        """Write the map of the cluster, so that its nodes know each other from the beginning."""
        primaries = len(self.stores) // 2
        lines = []
        for other, node in enumerate(self.stores):
            first, last = (SLOTS * n // primaries for n in (other, other + 1))
            flags, of, slots = "master", "-", f"{first}-{last - 1}"
            if other >= primaries:
                flags, of, slots = "slave", f"{other - primaries + 1:040x}", ""
            if other == number:
                flags = f"myself,{flags}"
            epoch = other % primaries + 1
            line = f"{other + 1:040x} {node.address}:6379@16379 {flags} {of} 0 0 {epoch} connected {slots}"
            lines.append(line.strip())
        lines.append(f"vars currentEpoch {primaries} lastVoteEpoch 0\n")
        (host.home / "nodes.conf").write_text("\n".join(lines))
        cluster = ("cluster-enabled yes", "cluster-config-file nodes.conf", "cluster-node-timeout 2000")
        _install_redis(host, "redis", [*cluster, "cluster-require-full-coverage no"])

    def _install_sentinel(self, host: Host) -> None:
        everyone = (*self.caches, self.sentinel)
        ids = {other.name: f"{number + 1:040x}" for number, other in enumerate(everyone)}
        lines = [
            "port 26379",
            f"dir {host.home}",
            "protected-mode no",
            f"sentinel monitor {NAME} {self.caches[0].address} 6379 2",
            f"sentinel down-after-milliseconds {NAME} 2000",
            f"sentinel failover-timeout {NAME} 4000",
            f"sentinel known-replica {NAME} {self.caches[1].address} 6379",
            f"sentinel myid {ids[host.name]}",
            *(
                f"sentinel known-sentinel {NAME} {other.address} 26379 {ids[other.name]}"
                for other in everyone
                if other is not host
            ),
        ]
        conf = host.home / "sentinel.conf"
        conf.write_text("\n".join([*lines, ""]))
        host.programs["sentinel"] = (server_binary(), str(conf), "--sentinel")

    def _s3_command(self) -> tuple[str, ...]:
        if (real := find_s3_server()) is None:
            return (
                sys.executable,
                "-m",
                "moto.server",
                "-H",
                self.bucket.address,
                "-p",
                str(S3_PORT),
            )
        account = ("--access", ACCESS, "--secret", SECRET)
        files = self.bucket.home / "files"
        files.mkdir()
        return (real, *account, "--port", f"{self.bucket.address}:{S3_PORT}", "posix", str(files))

    def _start_client(self) -> None:
        servers = (f"  server {host.name} {host.address}:{WEB_PORT}" for host in self.web)
        conf = HOME / "haproxy.cfg"
        text = BALANCER.format(client=CLIENT, port=BALANCER_PORT)
        conf.write_text("\n".join([text.rstrip(), *servers, ""]))
        upstream = (
            "-m",
            "http.server",
            str(UPSTREAM_PORT),
            "--bind",
            CLIENT,
            "--directory",
            str(self.symbols),
        )
        _start(["haproxy", "-f", str(conf)], "haproxy")
        _start([sys.executable, *upstream], "upstream")

    def _start_database(self) -> None:
        home, data = self.database.home, self.database.home / "data"
        shutil.chown(home, "postgres")
        options = ("--username=postgres", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync")
        os.chdir("/")
        run(*POSTGRES, binary("initdb"), "--pgdata", str(data), *options)
        with (data / "pg_hba.conf").open("a") as rules:
            rules.write("host all all 10.77.0.0/24 trust\n")
        settings = (
            f"listen_addresses={self.database.address}",
            f"port={DATABASE_PORT}",
            "unix_socket_directories=",
        )
        words = (word for setting in settings for word in ("-c", setting))
        self.database.programs["postgres"] = (*POSTGRES, binary("postgres"), "-D", str(data), *words)
        # PostgreSQL would wait for all clients to disconnect after SIGTERM.
        self.database.stop_signal = signal.SIGINT
        self.database.start()
        url = self.environment["DATABASE_URL"]
        wait_until(partial(_accepts, url), STARTS_WITHIN, "PostgreSQL accepts connections")


def _install_redis(host: Host, image: str, directives: Sequence[str]) -> None:
    """Write a configuration that Sentinel may rewrite, so that a server keeps its role over a restart."""
    text = (IMAGES / image / "redis.conf").read_text()
    conf = host.home / "redis.conf"
    conf.write_text("\n".join([text, f"dir {host.home}", "repl-diskless-sync-delay 0", *directives, ""]))
    host.programs["redis"] = (server_binary(), str(conf))


def _start(command: Sequence[str], name: str) -> None:
    with (HOME / f"{name}.log").open("wb") as log:
        subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)


def _last_acquisition(host: Host) -> str:
    """Return the line of the log, which begins with the time."""
    found = re.findall(r"^.*Acquired the beat lock", (host.home / "beat.log").read_text(), re.MULTILINE)
    return found[-1] if found else ""


def _is_ready(host: Host) -> bool:
    return '"ready"' in _read(f"http://{host.address}:{WEB_PORT}/health/ready")


def _read(url: str) -> str:
    """Return the response, or nothing when there is none yet."""
    try:
        return httpx.get(url, timeout=5).text
    except httpx.TransportError:
        return ""


def _listens(host: Host, port: int) -> bool:
    try:
        socket.create_connection((host.address, port), 1).close()
    except OSError:
        return False
    return True


def _accepts(url: str) -> bool:
    try:
        psycopg.connect(url, connect_timeout=5).close()
    except psycopg.OperationalError:
        return False
    return True


def _role(host: Host) -> str:
    with redis.Redis(host.address, socket_timeout=1, socket_connect_timeout=1) as server:
        return str(server.info("replication")["role"])


def _is_linked(host: Host) -> bool:
    with redis.Redis(host.address, socket_timeout=1, socket_connect_timeout=1) as server:
        state = server.info("replication")
    return bool(
        state["connected_slaves"] if state["role"] == "master" else state["master_link_status"] == "up"
    )
