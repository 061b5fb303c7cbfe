"""An S3 server on loopback, in a process of its own."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def s3_server() -> Iterator[str]:
    """Yields the endpoint's URL."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert server.stderr
    try:
        for line in server.stderr:
            if found := re.search(r"Running on (http://\S+)", line):
                yield found[1]
                break
        else:
            raise RuntimeError("the S3 server did not start")
    finally:
        server.terminate()
        server.wait(10)
        server.stderr.close()
