"""First answer of a fresh web process: `python -m bench.first`.

The module is converted and all its pages are in the store. Each round starts a web process, waits until it
answers `/health/live`, and sends it a stack of 40 frames, then the same stack again.
"""

from __future__ import annotations

import argparse
import random
import time
from collections.abc import Mapping
from http.client import HTTPConnection
from typing import NamedTuple

from bench import rig
from bench.front import front


class Answer(NamedTuple):
    first: float  # milliseconds
    cpu: float
    again: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--frames", type=int, default=40)
    options = parser.parse_args()
    module = rig.modules()[0]
    functions, chance = module.functions(), random.Random(1)
    with rig.redis_pair() as environment:
        rig.configure(environment, symbolicate_max_jobs=10)
        rig.enter(environment)
        rig.convert(module)
        rig.fill_store(module)
        answers = [
            answer(environment, rig.request(module.key, rig.frames(functions, options.frames, chance)))
            for _ in range(options.rounds)
        ]
    columns = [list(column) for column in zip(*answers, strict=True)]
    medians = [f"{rig.median(column):.1f}" for column in columns]
    longest = [f"{max(column):.1f}" for column in columns]
    rig.table(["ms", "first answer", "its CPU", "again"], [["median", *medians], ["longest", *longest]])


def answer(environment: Mapping[str, str], body: bytes) -> Answer:
    with front(environment) as (port, pid):
        connection = HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/health/live")
        connection.getresponse().read()
        # What other threads do after the start is not part of the answer.
        time.sleep(1)
        before, first = rig.run_milliseconds(pid), elapsed(connection, body)
        return Answer(first, rig.run_milliseconds(pid) - before, elapsed(connection, body))


def elapsed(connection: HTTPConnection, body: bytes) -> float:
    start = time.perf_counter()
    rig.post(connection, body)
    return 1000 * (time.perf_counter() - start)


if __name__ == "__main__":
    main()
