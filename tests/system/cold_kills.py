"""Conversions that are killed at random moments while requests wait for their modules.

A real web process and both Redis servers run. Conversions run in processes of `killed_worker`, because a
worker of Celery would need half a minute after each kill, for the lock of the killed process and for its job.
"""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from random import Random
from threading import Event
from time import monotonic, sleep
from typing import Any, NamedTuple

import httpx
import redis

from tecken.symbolication.conversion import keys
from tecken.symbols.ids import ObjectId
from tests.system.site import ROOT, Site, end

FUNCTIONS = 12_000  # of a module: a megabyte and a half
FILES, ORIGINS = 50, 20
FRAMES = 40  # of a request
CLIENTS = 3
SECOND_PHASE = 0.5  # share of kills after early frames were published
KILLS_PER_MODULE = 2  # after a third one the module would count as malformed
PATIENCE = 60.0  # seconds until a client has its frames


class KillableSite(Site):
    """Site without a worker; the conversions run in `killed_worker`."""

    def __init__(self, home: Path) -> None:
        self.source = home / "source"
        self.source.mkdir()
        self.pages = home / "storage"
        options = {"symbolicate_deadline_seconds": 2, "unreachable_seconds": 1}
        super().__init__(home, options, SYMBOL_SOURCES=self.source.as_uri())

    def start_worker(self) -> None:
        pass

    @contextmanager
    def converter(self) -> Iterator[subprocess.Popen[str]]:
        program = [sys.executable, "-m", "tests.system.killed_worker"]
        environment = {**self._environment, "DJANGO_SETTINGS_MODULE": "tecken.settings"}
        with subprocess.Popen(
            program,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            text=True,
        ) as running:
            try:
                assert running.stdout
                while running.stdout.readline() != "ready\n":
                    assert running.poll() is None
                yield running
            finally:
                end(running)


class Module(NamedTuple):
    debug_id: str
    debug_file: str = "killed.so"

    @property
    def object(self) -> ObjectId:
        return ObjectId(self.debug_file, self.debug_id)

    def write(self, folder: Path) -> None:
        file = folder / self.debug_file / self.debug_id / f"{self.debug_file}.sym"
        file.parent.mkdir(parents=True)
        file.write_text(self.text)

    @property
    def text(self) -> str:
        head = [f"MODULE Linux x86_64 {self.debug_id} {self.debug_file}"]
        head += [f"FILE {number} src/{number}.c" for number in range(FILES)]
        head += [f"INLINE_ORIGIN {number} g{number}" for number in range(ORIGINS)]
        return "\n".join([*head, *(self._block(number) for number in range(FUNCTIONS))]) + "\n"

    def _block(self, n: int) -> str:
        """A function of 16 bytes. A call is inlined in the first half of it."""
        start = 16 * n
        return (
            f"FUNC {start:x} 10 0 {self._function(n)}\n"
            f"INLINE 0 {n + 1} {n % FILES} {n % ORIGINS} {start:x} 8\n"
            f"{start:x} 8 {n + 2} {(n + 1) % FILES}\n"
            f"{start + 8:x} 8 {n + 3} {n % FILES}"
        )

    def _function(self, number: int) -> str:
        return f"f{number}_of_{self.debug_id[:8]}"

    def frame(self, number: int, offset: int) -> dict[str, Any]:
        """Return the frame of an offset as a response has it."""
        n, inside = divmod(offset, 16)
        frame = {
            "frame": number,
            "module": self.debug_file,
            "module_offset": hex(offset),
            "function": self._function(n),
            "function_offset": hex(inside),
            "function_size": "0x10",
            "file": f"src/{n % FILES}.c",
            "line": n + 1 if inside < 8 else n + 3,
        }
        if inside < 8:
            call = {"function": f"g{n % ORIGINS}", "file": f"src/{(n + 1) % FILES}.c", "line": n + 2}
            frame["inlines"] = [call]
        return frame


class Outcome(NamedTuple):
    """`killed` counts kills by what the conversion had published, `answers` responses by what they had.

    `deleted` counts deleted keys by their pattern, `wrong` has responses that are neither right nor refusals.
    """

    killed: Counter[str]
    answers: Counter[str]
    deleted: Counter[str]
    wrong: list[str]


class Killer:
    """Rounds of one site. Each has a new module, clients that wait for it, and killed conversions."""

    def __init__(
        self,
        site: KillableSite,
        converter: subprocess.Popen[str],
        servers: tuple[redis.Redis, redis.Redis],
        random: Random,
    ) -> None:
        self._site, self._converter, self._random = site, converter, random
        self._servers = servers
        self._cache, _ = servers
        self._phases = 0.5, 0.5
        self.outcome = Outcome(Counter(), Counter(), Counter(), [])

    @property
    def kills(self) -> int:
        return self.outcome.killed.total()

    def calibrate(self) -> None:
        """Measure how long a conversion takes, and how long its second phase."""
        for _ in range(2):
            module = self._new_module()
            began = monotonic()
            with ThreadPoolExecutor(1) as pool:
                client = pool.submit(self._ask, module, self._random.random())
                self._start(module)
                self._wait_for_frames(module)
                scanned = monotonic()
                self._end()
                self._phases = monotonic() - began, monotonic() - scanned
                client.result(PATIENCE)

    def round(self, *, deletes_keys: bool = False) -> None:
        module, over = self._new_module(), Event()
        with ThreadPoolExecutor(CLIENTS + 1) as pool:
            if deletes_keys:
                pool.submit(self._delete_keys, over, Random(self._random.random()))
            clients = [pool.submit(self._ask, module, self._random.random()) for _ in range(CLIENTS)]
            for _ in range(KILLS_PER_MODULE):
                self._kill(module)
            self._start(module)
            self._end()
            for client in clients:
                client.result(PATIENCE)
            over.set()

    def _delete_keys(self, over: Event, random: Random) -> None:
        """Delete one key after the other: of the store, and of conversions on redis-cache."""
        while not over.wait(random.uniform(0, 0.02)):
            server, pattern = random.choice(list(zip(self._servers, ("cold:*", "*"), strict=True)))
            names = server.keys(pattern)
            if names:
                self.outcome.deleted[pattern] += server.delete(random.choice(names))

    def _kill(self, module: Module) -> None:
        """Kill a conversion at any moment, or at one of its second phase."""
        whole, second = self._phases
        self._start(module)
        if self._random.random() < SECOND_PHASE:
            self._wait_for_frames(module)
            sleep(self._random.uniform(0, second))
        else:
            sleep(self._random.uniform(0, whole))
        self._tell("kill")
        if self._end() == "killed":
            self.outcome.killed[self._stage(module)] += 1

    def _wait_for_frames(self, module: Module) -> None:
        """Wait until early frames are published, or for a while: perhaps none are wanted any more."""
        deadline = monotonic() + 2 * self._phases[0]
        while not self._cache.exists(keys.scanned(module.object)) and monotonic() < deadline:
            sleep(0.001)

    def _new_module(self) -> Module:
        module = Module(f"{self._random.getrandbits(128):032X}0")
        module.write(self._site.source)
        return module

    def _start(self, module: Module) -> None:
        self._tell(f"{module.debug_file} {module.debug_id}")

    def _tell(self, line: str) -> None:
        assert self._converter.stdin
        self._converter.stdin.write(f"{line}\n")
        self._converter.stdin.flush()

    def _end(self) -> str:
        """Wait for the end of the conversion."""
        assert self._converter.stdout
        return self._converter.stdout.readline().strip()

    def _stage(self, module: Module) -> str:
        """Return how far a killed conversion has come."""
        if any(self._site.pages.glob(f"pages/**/*{module.debug_id}*")):
            return "page file written"
        return "frames published" if self._cache.exists(keys.scanned(module.object)) else "scanning"

    def _ask(self, module: Module, seed: float) -> None:
        """Repeat a request until it has every frame; every response must be right or without symbols."""
        random = Random(seed)
        offsets = [random.randrange(16 * FUNCTIONS) for _ in range(FRAMES)]
        request = {"memoryMap": [list(module[::-1])], "stacks": [[[0, offset] for offset in offsets]]}
        expected = [module.frame(number, offset) for number, offset in enumerate(offsets)]
        # Some come before the first conversion, others while it runs or after it was killed.
        sleep(random.choice((0, random.uniform(0, 2 * self._phases[0]))))
        deadline = monotonic() + PATIENCE
        with httpx.Client(base_url=self._site.url, timeout=PATIENCE) as client:
            while not self._is_answered(client.post("/symbolicate/v5", json=request), expected):
                if monotonic() > deadline:
                    self.outcome.wrong.append(f"{module}: no answer in time")
                    return

    def _is_answered(self, reply: httpx.Response, expected: list[dict[str, Any]]) -> bool:
        if reply.status_code == 503 and "Retry-After" in reply.headers:
            self.outcome.answers["pending"] += 1
            return False
        (result,) = reply.json()["results"]
        if result["stacks"] == [expected] and set(result["found_modules"].values()) == {True}:
            self.outcome.answers["complete"] += 1
            return True
        self.outcome.wrong.append(reply.text[:2000])
        return True


def kill_conversions(home: Path, kills: int, seed: int, *, deletes_keys: bool = False) -> Outcome:
    """Kill so many conversions, and return what the clients got."""
    with (
        KillableSite(home) as site,
        site.converter() as converter,
        redis.Redis.from_url(site.cache.url) as cache,
        redis.Redis.from_url(site.store.url) as store,
    ):
        killer = Killer(site, converter, (cache, store), Random(seed))
        killer.calibrate()
        while killer.kills < kills and not killer.outcome.wrong:
            killer.round(deletes_keys=deletes_keys)
        return killer.outcome
