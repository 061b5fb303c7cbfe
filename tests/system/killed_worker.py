"""Program of cold_kills: it converts modules in child processes, and kills one when it is told so on stdin.

A line has a module's file and id, or the word `kill`. Each conversion is answered by `killed` or `ended`.
"""

from __future__ import annotations

import os
import signal
import sys
from select import select

import django

django.setup()

from tecken.redisclient.services import cache_client, cache_guard  # noqa: E402 - reads the settings
from tecken.symbolication import services as symbolication_services  # noqa: E402 - as above
from tecken.symbolication.conversion.lock import RedisConversionLock  # noqa: E402 - as above
from tecken.symbols.ids import ObjectId  # noqa: E402 - as above

LOCK_SECONDS = 0.15
"""The lock of a killed process expires after half a minute, for which a test cannot wait each time."""


def convert(module: ObjectId) -> None:
    symbolication_services.conversion_lock = lambda: RedisConversionLock(  # type: ignore[assignment]
        cache_client(), cache_guard(), expiry=LOCK_SECONDS
    )
    symbolication_services.worker_of(module).work(module)


def run(module: ObjectId) -> str:
    # The parent has no connections and no threads, which a child could not use.
    child = os.fork()
    if not child:
        convert(module)
        os._exit(0)
    ended = os.pidfd_open(child)
    if ended not in select([ended, sys.stdin], [], [])[0]:
        sys.stdin.readline()
        os.kill(child, signal.SIGKILL)
    os.close(ended)
    return "ended" if os.WIFEXITED(os.waitpid(child, 0)[1]) else "killed"


def main() -> None:
    print("ready", flush=True)
    while line := sys.stdin.readline():
        # A process may end just before it is to be killed.
        if line != "kill\n":
            print(run(ObjectId.parse(*line.split())), flush=True)


if __name__ == "__main__":
    main()
