"""Steps of a web process before its port opens, each alone: `python -m bench.warm_up [--rounds 5]`.

`time` is how long a step takes. `without it` is the first answer of a process that leaves this step out:
40 frames of the largest module, with all pages in the store, as in `bench.first`. A dash is for a step that
the site needs.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from bench import rig
from bench.first import elapsed
from bench.front import wait_until_live
from tecken.front.bridge import Application
from tests.support.redis_server import free_port

# Steps that can be left out, by their functions.
OPTIONAL = {
    "symbolicate": "made-up symbolication",
    "_look_for_module": "lookup of a cold module",
    "connect": "connection to the queue",
    "_read_page_file": "lookup in the storage",
    "warm_up": "made-up requests in the event loop and a handler thread",
}
times: dict[str, float] = {}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    module, chance = rig.modules()[0], random.Random(1)
    with rig.redis_pair() as environment:
        rig.configure(environment, symbolicate_max_jobs=10)
        rig.enter(environment)
        rig.convert(module)
        rig.fill_store(module)
        body = rig.request(module.key, rig.frames(module.functions(), 40, chance))
        ways = ("", *OPTIONAL.values())
        runs = [{way: start(environment, body, way) for way in ways} for _ in range(rounds)]
    first = {way: f"{rig.median([run[way][1] for run in runs]):.1f}" for way in ways}
    steps = [run[""][0] for run in runs]
    rows = [
        [step, f"{rig.median([it[step] for it in steps]):.1f}", first.get(step, "-")] for step in steps[0]
    ]
    rows.append(["none is left out", "", first[""]])
    rig.table(["step", "time, ms", "first answer without it, ms"], rows)


def start(environment: Mapping[str, str], body: bytes, without: str) -> tuple[dict[str, float], float]:
    """Return the milliseconds of the steps of a new web process, and those of its first answer."""
    with TemporaryDirectory(prefix="bench-") as folder:
        out, port = Path(folder) / "times.json", free_port()
        ours = {**environment, "WEB_PORT": str(port), "STEPS_FILE": str(out), "WITHOUT_STEP": without}
        command = ["taskset", "-c", "0", sys.executable, "-m", "tecken.front", "bench.warm_up:application"]
        with rig.process(command, ours, port):
            wait_until_live(port)
            first = elapsed(HTTPConnection("127.0.0.1", port, timeout=60), body)
            return json.loads(out.read_text()), first


# In the web process


def __getattr__(name: str) -> Application:
    """Build the web application, with steps that are timed, when the web server asks for it."""
    if name != "application":
        raise AttributeError(name)
    with step("imports, Django's setup"):
        from django.core.wsgi import get_wsgi_application  # noqa: PLC0415 - sets Django up

        get_wsgi_application()
    with step("imports of the site's own modules"):
        from tecken.front import application as front  # noqa: PLC0415 - as above
        from tecken.jobs import sending  # noqa: PLC0415
        from tecken.runtimeconfig import current  # noqa: PLC0415
        from tecken.symbolication import warm_up  # noqa: PLC0415
        from tecken.symbolication.api import views  # noqa: PLC0415, F401
    replace(current, "start", "runtime configuration")
    for owner, function in (
        (warm_up, "symbolicate"),
        (warm_up, "_look_for_module"),
        (sending, "connect"),
        (warm_up, "_read_page_file"),
    ):
        replace(owner, function, OPTIONAL[function])
    follow_front(front)
    with step("imports of the URL table, objects of a request"):
        from tecken.application import application  # noqa: PLC0415 - as above
    return application


def replace(owner: ModuleType, name: str, text: str) -> None:
    """Time the first call of a function, or leave it out."""
    function = getattr(owner, name)

    def first(*arguments: object) -> object:
        setattr(owner, name, function)
        if os.environ["WITHOUT_STEP"] == text:
            return None
        with step(text):
            return function(*arguments)

    setattr(owner, name, first)


def follow_front(front: Any) -> None:
    """Time the made-up requests of the front, or leave them out, and the garbage collection."""
    warm_up, text = front.warm_up, OPTIONAL["warm_up"]

    async def timed(*arguments: object) -> None:
        if os.environ["WITHOUT_STEP"] != text:
            with step(text):
                await warm_up(*arguments)

    front.warm_up = timed
    replace(gc, "collect", "garbage collection")


@contextmanager
def step(text: str) -> Iterator[None]:
    """Add the time of a step to the file."""
    begin = time.perf_counter()
    yield
    times[text] = 1e3 * (time.perf_counter() - begin)
    Path(os.environ["STEPS_FILE"]).write_text(json.dumps(times))


if __name__ == "__main__":
    main()
