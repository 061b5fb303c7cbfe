"""Requests of clients over HTTPS, while bench.operator_path replaces the release of a site."""

from __future__ import annotations

import http.client
import itertools
import json
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

PAUSE = 0.05  # seconds between two requests of a thread
DEADLINE = 60.0


@dataclass
class Kind:
    """Requests of one kind: how many succeeded, what failed, and the longest time without a success."""

    served: int = 0
    failed: list[str] = field(default_factory=list)
    longest_gap: float = 0.0
    last: float = field(default_factory=time.monotonic)

    def succeed(self) -> None:
        now = time.monotonic()
        self.longest_gap = max(self.longest_gap, now - self.last)
        self.last, self.served = now, self.served + 1


class Client:
    """Client of a site on this host, with one connection that is kept open."""

    def __init__(self, port: int, authority: str) -> None:
        context = ssl.create_default_context(cafile=authority)
        self._connection = http.client.HTTPSConnection("localhost", port, timeout=DEADLINE, context=context)

    def send(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes]:
        """Return status and body of the response. A failed connection raises OSError or HTTPException."""
        try:
            self._connection.request(method, path, body, headers)
            response = self._connection.getresponse()
            return response.status, response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            raise


class Load:
    """Symbolications, downloads and uploads from threads of their own, while the context lasts."""

    def __init__(self, port: int, authority: str, token: str, stack: bytes, path: str) -> None:
        self._site = (port, authority)
        self._token = token
        self._stop = threading.Event()
        self.kinds = {"symbolications": Kind(), "downloads": Kind(), "uploads": Kind()}
        self.uploaded: list[int] = []
        tasks = [
            ("symbolications", lambda client, _: client.send("POST", "/symbolicate/v5", stack)),
            ("downloads", lambda client, _: client.send("GET", path)),
            ("uploads", self._upload),
        ]
        self._threads = [threading.Thread(target=self._run, args=task, daemon=True) for task in tasks]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def find_lost(self) -> list[str]:
        """Return the uploaded modules that the site cannot symbolicate, after their conversions."""
        client, left = Client(*self._site), {number: module(number) for number in self.uploaded}
        deadline = time.monotonic() + DEADLINE
        while left and time.monotonic() < deadline:
            for number, (name, debug_id) in list(left.items()):
                body = json.dumps({"memoryMap": [[name, debug_id]], "stacks": [[[0, 0x1004]]]}).encode()
                status, answer = client.send("POST", "/symbolicate/v5", body)
                if status == 200 and f"function_{number}" in answer.decode():
                    del left[number]
        return [f"{name}/{debug_id}" for name, debug_id in left.values()]

    def _run(self, name: str, task: Any) -> None:
        client, kind = Client(*self._site), self.kinds[name]
        for number in itertools.count():
            try:
                status, answer = task(client, number)
            except (OSError, http.client.HTTPException) as error:
                kind.failed.append(repr(error))
            else:
                if status < 400:
                    kind.succeed()
                else:
                    kind.failed.append(f"{status} {answer[:100]!r}")
            if self._stop.wait(PAUSE):
                return

    def _upload(self, client: Client, number: int) -> tuple[int, bytes]:
        name, debug_id = module(number)
        records = f"FILE 0 a.c\nFUNC 1000 10 0 function_{number}\n1000 10 7 0\n"
        text = f"MODULE Linux x86_64 {debug_id} {name}\n{records}"
        headers = {"Auth-Token": self._token, "Content-Type": "application/octet-stream"}
        status, answer = client.send("POST", f"/upload/?name={name}.sym", text.encode(), **headers)
        if status < 400:
            self.uploaded.append(number)
        with suppress(TimeoutError):
            self._stop.wait(10 * PAUSE)
        return status, answer


def module(number: int) -> tuple[str, str]:
    """Return name and debug id of an uploaded module."""
    return f"load-{number}", f"{number + 1:032X}0"
