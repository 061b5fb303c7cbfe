"""An S3 server on loopback, in a process of its own: moto, or a real one that S3_SERVER names (versitygw)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import boto3  # type: ignore[import-untyped]

from tests.support.redis_server import free_port

ACCESS, SECRET = "test", "testtest"


class S3Bucket(NamedTuple):
    endpoint: str
    name: str

    @classmethod
    def create(cls, endpoint: str, name: str) -> S3Bucket:
        bucket = cls(endpoint, name)
        bucket._client().create_bucket(Bucket=name)
        return bucket

    def unfinished_uploads(self) -> int:
        return len(self._client().list_multipart_uploads(Bucket=self.name).get("Uploads", []))

    def _client(self) -> Any:
        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            region_name="us-east-1",
            aws_access_key_id=ACCESS,
            aws_secret_access_key=SECRET,
        )


@contextmanager
def s3_server() -> Iterator[str]:
    """Yield the endpoint's URL."""
    with tempfile.TemporaryDirectory(prefix="s3-") as directory, _running(_command(directory)) as server:
        assert server.stdout
        told = (re.search(r"http://127\.0\.0\.1:\d+", line) for line in server.stdout)
        url = next(found[0] for found in told if found)
        drain = threading.Thread(target=deque, args=(server.stdout, 0))
        drain.start()
        yield url
        server.terminate()
        drain.join(10)


@contextmanager
def _running(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as server:
        try:
            yield server
        finally:
            server.terminate()


def _command(directory: str) -> list[str]:
    real = os.environ.get("S3_SERVER")
    if not real:
        return [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    account = ["--access", ACCESS, "--secret", SECRET]
    return [real, *account, "--port", f"127.0.0.1:{free_port()}", "posix", directory]
