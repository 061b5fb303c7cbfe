"""Faults of hosts: killed, frozen, cut off in one or both directions, delayed, or with a wrong clock."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import NamedTuple

from tests.support.network import Host
from tests.system.hosts import HostedSite, find_s3_server

LATENCY_MILLISECONDS = 200
SKEW_SECONDS = 300
LIBFAKETIME = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

During = Callable[[HostedSite], AbstractContextManager[None]]


class HostFault(NamedTuple):
    """`during` lasts as long as the fault."""

    name: str
    what: str
    during: During
    obstacle: Callable[[], str] = str
    """Returns why it cannot be made here, or an empty string."""
    seconds: float | None = None
    """Duration, if the fault shows its effect only then."""


@contextmanager
def killed(site: HostedSite, host: Host) -> Iterator[None]:
    host.kill()
    try:
        yield
    finally:
        host.start()


@contextmanager
def frozen(site: HostedSite, host: Host) -> Iterator[None]:
    """Freeze all processes. The kernel of the host still accepts connections and acknowledges packets."""
    host.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        host.signal(signal.SIGCONT)


@contextmanager
def cut_off(site: HostedSite, host: Host) -> Iterator[None]:
    host.cut()
    try:
        yield
    finally:
        host.join()


@contextmanager
def silenced(site: HostedSite, host: Host) -> Iterator[None]:
    site.network.silence(host)
    try:
        yield
    finally:
        site.network.unsilence(host)


@contextmanager
def delayed(site: HostedSite, host: Host) -> Iterator[None]:
    host.delay(LATENCY_MILLISECONDS)
    try:
        yield
    finally:
        host.delay(0)


def clock(seconds: int) -> Callable[[HostedSite, Host], AbstractContextManager[None]]:
    """Return a fault: the host is restarted with a wrong clock, and at the end with the right one."""

    @contextmanager
    def skewed(site: HostedSite, host: Host) -> Iterator[None]:
        restart(
            site,
            host,
            {
                "LD_PRELOAD": str(LIBFAKETIME[0]),
                "FAKETIME": f"{seconds:+d}",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            },
        )
        try:
            yield
        finally:
            restart(site, host)

    return skewed


def restart(site: HostedSite, host: Host, environment: dict[str, str] | None = None) -> None:
    """Restart a host in an orderly way, and wait until it takes part again."""
    host.stop()
    host.start(environment)
    if host in site.web:
        site.wait_for_web(host)


def restarted(chosen: Callable[[HostedSite], Sequence[Host]]) -> During:
    """Return a fault: each host in turn is restarted in an orderly way."""

    @contextmanager
    def in_turn(site: HostedSite) -> Iterator[None]:
        for host in chosen(site):
            if host in site.caches and host is site.cache_master():
                site.fail_over()
            restart(site, host)
            site.wait_until_whole()
        yield

    return in_turn


# What can be made here


def find_latency_obstacle() -> str:
    command = ["tc", "qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"]
    tried = subprocess.run(["unshare", "--net", *command], capture_output=True, text=True, check=False)
    return f"the kernel has no netem: {tried.stderr.strip()}" if tried.returncode else ""


def find_clock_obstacle() -> str:
    return "" if LIBFAKETIME else "libfaketime is not installed"


def find_bucket_obstacle() -> str:
    return "" if find_s3_server() else "moto keeps its files in memory"


# The list

KINDS: dict[str, tuple[str, Callable[[HostedSite], Host]]] = {
    "web": ("web-1", lambda site: site.web[0]),
    "worker": ("worker-1, whose beat sends", lambda site: site.beat_host()),
    "store": ("a primary of redis-store", HostedSite.store_primary),
    "cache": ("master of redis-cache, with a sentinel", HostedSite.cache_master),
    "database": ("database", lambda site: site.database),
    "bucket": ("bucket", lambda site: site.bucket),
}
ACTIONS = {
    "killed": ("SIGKILL of all processes", killed),
    "frozen": ("SIGSTOP of all processes", frozen),
    "cut": ("packets lost, in both directions", cut_off),
    "silenced": ("packets lost that it sends", silenced),
    "delayed": (f"packets that it sends delayed by {LATENCY_MILLISECONDS} ms", delayed),
}
CLOCKS = {"ahead": SKEW_SECONDS, "behind": -SKEW_SECONDS}


def of_kind(kind: str, action: str) -> HostFault:
    host, choose = KINDS[kind]
    text, apply = ACTIONS[action]
    obstacle: Callable[[], str] = str
    if action == "delayed":
        obstacle = find_latency_obstacle
    elif (kind, action) == ("bucket", "killed"):
        obstacle = find_bucket_obstacle
    return HostFault(f"{kind}-{action}", f"{host}: {text}", lambda site: apply(site, choose(site)), obstacle)


def of_clock(kind: str, direction: str) -> HostFault:
    seconds = CLOCKS[direction]
    host, choose = KINDS[kind]
    apply = clock(seconds)
    return HostFault(
        f"{kind}-clock-{direction}",
        f"{host}: clock {SKEW_SECONDS} s {direction}",
        lambda site: apply(site, choose(site)),
        find_clock_obstacle,
    )


FAULTS = [
    *(of_kind(kind, action) for kind in KINDS for action in ACTIONS),
    HostFault(
        "beat-cut",
        "worker-1, whose beat sends: packets lost for 40 s",
        lambda site: cut_off(site, site.beat_host()),
        seconds=40.0,
    ),
    *(of_clock(kind, direction) for kind in ("web", "worker") for direction in CLOCKS),
    HostFault("restart-web", "rolling restart: web hosts", restarted(lambda site: site.web)),
    HostFault("restart-worker", "rolling restart: worker hosts", restarted(lambda site: site.workers)),
    HostFault("restart-store", "rolling restart: redis-store", restarted(lambda site: site.stores)),
    HostFault(
        "restart-cache",
        "rolling restart: redis-cache and sentinels",
        restarted(lambda site: [*site.caches, site.sentinel]),
    ),
    HostFault("restart-database", "restart: database", restarted(lambda site: [site.database])),
    HostFault(
        "restart-bucket", "restart: bucket", restarted(lambda site: [site.bucket]), find_bucket_obstacle
    ),
]
