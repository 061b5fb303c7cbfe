"""Site for bench.config_spread: each process reports when a change has come into force.

Each process sends a datagram of process kind, process id, value and time.monotonic(), which all processes of
a machine share, to the socket CONFIG_PROBE. CONFIG_BURN=1 gives each process a thread that never rests.
"""

from __future__ import annotations

import os
import socket
import threading
import time

from celery.signals import worker_process_init

from tecken.front.bridge import Application


@worker_process_init.connect  # type: ignore[untyped-decorator]
def worker(**_: object) -> None:
    watch("worker")


def watch(kind: str) -> None:
    from tecken.runtimeconfig import current  # noqa: PLC0415 - needs Django

    to = os.environ["CONFIG_PROBE"]
    probe = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def seen(value: int) -> None:
        now = time.monotonic()
        probe.sendto(f"{kind} {os.getpid()} {value} {now}".encode(), to)

    if os.environ.get("CONFIG_BURN"):
        threading.Thread(target=burn, daemon=True).start()
    current.on_change("symbolicate_max_jobs", seen)


def burn() -> None:
    while True:
        pass


def __getattr__(name: str) -> Application:
    """Build the web application in a web process only, which imports the name `front`."""
    if name != "front":
        raise AttributeError(name)
    from tecken.application import application  # noqa: PLC0415 - sets Django up

    watch("web")
    return application
