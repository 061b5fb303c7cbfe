"""Load of every kind on a site, with a record of every response.

warm       symbolication of modules that were converted long ago
cold       symbolication of a new module, which a worker has to convert
download   a symbol file
upload     an archive with a new module
job        the same with `?async=1`: a worker has to store it
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread
from time import monotonic
from typing import Literal, NamedTuple
from uuid import uuid4
from zipfile import ZIP_DEFLATED, ZipFile

import httpx

from tests.support.sentinel import wait_until

Kind = Literal["warm", "cold", "download", "upload", "job"]
Outcome = Literal["served", "refused", "failed"]
KINDS: tuple[Kind, ...] = ("warm", "cold", "download", "upload", "job")
CLIENTS: dict[Kind, int] = {"warm": 2, "cold": 1, "download": 1, "upload": 1, "job": 1}
WARM = 5  # modules
FUNCTIONS = 200  # of a module
FRAMES = 20  # of a warm stack
PAUSE = 0.02  # seconds between an answer and the next request of the same client
PATIENCE = 30.0  # seconds until a client takes no answer for one


class Module(NamedTuple):
    debug_id: str
    debug_file: str = "load.so"

    @property
    def path(self) -> str:
        return f"{self.debug_file}/{self.debug_id}/{self.debug_file}.sym"

    @property
    def text(self) -> bytes:
        functions = (f"FUNC {16 * n:x} 10 0 {self.function(n)}\n" for n in range(FUNCTIONS))
        return f"MODULE Linux x86_64 {self.debug_id} {self.debug_file}\n{''.join(functions)}".encode()

    def function(self, number: int) -> str:
        return f"f{number}_of_{self.debug_id[:12]}"


def new_module() -> Module:
    return Module(f"{uuid4().hex.upper()}0")


def archive(module: Module) -> bytes:
    packed = io.BytesIO()
    with ZipFile(packed, "w", ZIP_DEFLATED) as members:
        members.writestr(module.path, module.text)
    return packed.getvalue()


class Answer(NamedTuple):
    """Response at `began`, of time.monotonic(). Status 0 stands for none within PATIENCE, or no connection.

    Refused is a 503 with Retry-After, or a stack without the modules that were unavailable. Every other
    response without the expected content has failed; `said` is its text.
    """

    kind: Kind
    began: float
    seconds: float
    status: int
    outcome: Outcome
    said: str = ""

    @property
    def ended(self) -> float:
        return self.began + self.seconds


class Load:
    """`source` is a directory that the site has among SYMBOL_SOURCES; `token` may upload."""

    def __init__(self, url: str, token: str, source: Path) -> None:
        self._url, self._token, self._source = url, token, source
        self._over = Event()
        self._warm: list[Module] = []
        self.answers: list[Answer] = []
        self.uploads: list[Module] = []
        """Those that were acknowledged."""
        self.jobs: dict[str, Module] = {}
        """The same of jobs, by the address that tells how they are."""

    def warm_up(self, seconds: float) -> None:
        """Wait until each kind has been served."""
        with self._client() as client:
            for module in (new_module() for _ in range(WARM)):
                client.post("/upload/", files={"a.zip": archive(module)}).raise_for_status()
                self._warm.append(module)
            # Warm modules come twice: early frames may give the first answer, and leave the store empty.
            for kind in (*KINDS, KINDS[0]):
                wait_until(lambda kind=kind: self._ask(kind, client), seconds, f"{kind} is served")  # type: ignore[misc]
        self.answers.clear()

    @contextmanager
    def going(self) -> Iterator[None]:
        self._over.clear()
        threads = [Thread(target=self._go_on, args=[kind]) for kind in KINDS for _ in range(CLIENTS[kind])]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            self._over.set()
            for thread in threads:
                thread.join()

    def wait_for(self, count: int, seconds: float, *, served: bool = False) -> None:
        """Wait until each kind has so many responses to new requests, with `served` all successful."""
        now = monotonic()

        def enough() -> bool:
            answered = {kind: self.of(kind, now)[-count:] for kind in KINDS}
            return all(
                len(some) == count and (not served or all(one.outcome == "served" for one in some))
                for some in answered.values()
            )

        wait_until(enough, seconds, f"{count} answers of each kind")

    def of(self, kind: Kind, since: float = 0.0, until: float = float("inf")) -> list[Answer]:
        """Return the responses of a kind, in the order in which they came."""
        return [one for one in tuple(self.answers) if one.kind == kind and since <= one.began < until]

    def jobs_lost(self, seconds: float) -> list[str]:
        """Those that are not done by then."""
        left = set(self.jobs)

        def done() -> bool:
            with self._client() as client:
                left.difference_update([url for url in left if _is_done(client, url)])
            return not left

        try:
            wait_until(done, seconds, "all jobs are done")
        except TimeoutError:
            return sorted(left)
        return []

    def uploads_lost(self) -> list[Module]:
        """Acknowledged, and not there."""
        with self._client() as client:
            return [
                module
                for module in (*self.uploads, *self.jobs.values())
                if client.get(f"/{module.path}", follow_redirects=True).content != module.text
            ]

    def _client(self) -> httpx.Client:
        return httpx.Client(base_url=self._url, headers={"Auth-Token": self._token}, timeout=PATIENCE)

    def _go_on(self, kind: Kind) -> None:
        with self._client() as client:
            while not self._over.wait(PAUSE):
                self._ask(kind, client)

    def _ask(self, kind: Kind, client: httpx.Client) -> bool:
        ask: dict[Kind, Callable[[httpx.Client], tuple[httpx.Response, Outcome]]] = {
            "warm": self._ask_warm,
            "cold": self._ask_cold,
            "download": self._download,
            "upload": self._upload,
            "job": self._send_job,
        }
        began = monotonic()
        try:
            reply, outcome = ask[kind](client)
            status, said = reply.status_code, "" if outcome == "served" else reply.text[:500]
        except httpx.HTTPError as error:
            status, outcome, said = 0, "failed", repr(error)
        self.answers.append(Answer(kind, began, monotonic() - began, status, outcome, said))
        return outcome == "served"

    def _ask_warm(self, client: httpx.Client) -> tuple[httpx.Response, Outcome]:
        return _symbolicated(client, self._warm, FRAMES)

    def _ask_cold(self, client: httpx.Client) -> tuple[httpx.Response, Outcome]:
        module = new_module()
        file = self._source / module.path
        file.parent.mkdir(parents=True)
        file.write_bytes(module.text)
        return _symbolicated(client, [module], 1)

    def _download(self, client: httpx.Client) -> tuple[httpx.Response, Outcome]:
        reply = client.get(f"/{self._warm[0].path}")
        there = reply.is_redirect or reply.content == self._warm[0].text  # storage with addresses of its own
        return reply, _outcome(reply, there)

    def _upload(self, client: httpx.Client) -> tuple[httpx.Response, Outcome]:
        module = new_module()
        reply = client.post("/upload/", files={"a.zip": archive(module)})
        if reply.status_code == 201:
            self.uploads.append(module)
        return reply, _outcome(reply, reply.status_code == 201)

    def _send_job(self, client: httpx.Client) -> tuple[httpx.Response, Outcome]:
        module = new_module()
        reply = client.post("/upload/?async=1", files={"a.zip": archive(module)})
        if reply.status_code == 202:
            self.jobs[reply.json()["url"]] = module
        return reply, _outcome(reply, reply.status_code == 202)


def _symbolicated(
    client: httpx.Client, modules: Sequence[Module], frames: int
) -> tuple[httpx.Response, Outcome]:
    stack = [(number % len(modules), number) for number in range(frames)]
    request = {
        "memoryMap": [[module.debug_file, module.debug_id] for module in modules],
        "stacks": [[[index, 16 * number] for index, number in stack]],
    }
    reply = client.post("/symbolicate/v5", json=request)
    if reply.status_code != 200:
        return reply, _outcome(reply, right=False)
    (job,) = reply.json()["results"]
    expected = [modules[index].function(number) for index, number in stack]
    found = [frame.get("function") for frame in job["stacks"][0]]
    if found == expected:
        return reply, "served"
    could_not_ask = [
        f"{modules[i].debug_file}/{modules[i].debug_id}" in job["module_errors"] for i, _ in stack
    ]
    honest = [None if unknown else name for unknown, name in zip(could_not_ask, expected, strict=True)]
    return reply, "refused" if found == honest else "failed"


def _outcome(reply: httpx.Response, right: bool) -> Outcome:
    if right:
        return "served"
    says_when = reply.status_code == 503 and int(reply.headers.get("Retry-After", 0)) > 0
    return "refused" if says_when and reply.json()["error"] else "failed"


def _is_done(client: httpx.Client, url: str) -> bool:
    reply = client.get(url)
    return reply.status_code == 200 and reply.json()["completed_at"] is not None


def seconds_to_recover(answers: Iterable[Answer], since: float) -> float:
    """Return the time from the last failure to the first success after it; 0 without failures."""
    later = [one for one in answers if one.began >= since]
    bad = [one.ended for one in later if one.outcome != "served"]
    if not bad:
        return 0.0
    good = [one.ended for one in later if one.outcome == "served" and one.began >= max(bad)]
    return min(good, default=float("inf")) - since
