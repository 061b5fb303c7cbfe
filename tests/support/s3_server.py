"""An S3 server on loopback, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple
from urllib.request import Request, urlopen


class S3Bucket(NamedTuple):
    endpoint: str
    name: str

    @classmethod
    def create(cls, endpoint: str, name: str) -> S3Bucket:
        with urlopen(Request(f"{endpoint}/{name}", method="PUT"), timeout=10):
            return cls(endpoint, name)

    def unfinished_uploads(self) -> int:
        with urlopen(f"{self.endpoint}/{self.name}?uploads", timeout=10) as answer:
            told: bytes = answer.read()
        return told.count(b"<Upload>")


@contextmanager
def s3_server() -> Iterator[str]:
    """Yields the endpoint's URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    drain = threading.Thread(target=deque, args=(server.stderr, 0))
    try:
        told = (re.search(r"Running on (http://\S+)", line) for line in server.stderr)
        url = next(found[1] for found in told if found)
        drain.start()
        yield url
    finally:
        server.terminate()
        server.wait(10)
        drain.join(10)
        server.stderr.close()
