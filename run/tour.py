"""First look at what `make run` started: a stack that this site symbolicated, and where to look next."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit
from urllib.request import urlopen

from run.checkout import LOG, ROOT

SAMPLES = "tests/data/samples"
STACK = f"{SAMPLES}/stack.json"
# A busy machine compiles a thousand modules at the first start.
STARTS_WITHIN = 120.0
ANSWERS_WITHIN = 30.0
WIDTH = 48  # of a function's name, in letters


def main() -> None:
    """Read the password of a new account from standard input; it is empty later."""
    password, url = sys.stdin.read().strip(), os.environ["TECKEN_URL"]
    deadline = time.monotonic() + STARTS_WITHIN
    for server in ("REDIS_URL", "REDIS_STORE_URL"):
        wait_for(os.environ[server], deadline)
    # The web server starts meanwhile.
    add_samples()
    wait_for(url, deadline)
    print("\n".join([*sample(url), *box(url, password)]), flush=True)


def wait_for(url: str, deadline: float) -> None:
    """Wait until something listens at the URL's port."""
    address = urlsplit(url)
    while True:
        try:
            socket.create_connection((address.hostname or "", address.port or 0)).close()
        except OSError:
            if time.monotonic() > deadline:
                sys.exit(f"{url} does not answer; see {LOG.relative_to(ROOT)}")
            time.sleep(0.05)
        else:
            return


def add_samples() -> None:
    command = [sys.executable, "manage.py", "symbols", "add", SAMPLES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Cannot store the samples: {done.stderr.strip()}", flush=True)


def sample(url: str) -> list[str]:
    """Return the lines about the sample. Without an answer the box is still of use."""
    body = (ROOT / STACK).read_bytes()
    try:
        with urlopen(f"{url}/symbolicate/v5", body, timeout=ANSWERS_WITHIN) as answer:
            return list(stack(json.load(answer)))
    except OSError as error:
        return [f"\nThe stack in {STACK} was not symbolicated: {error}; see {LOG.relative_to(ROOT)}"]


def stack(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the frames that have a function, without inlined calls: a page shows all of it."""
    yield f"\nThe stack in {STACK}, symbolicated:\n"
    for frames in answer["results"][0]["stacks"]:
        for frame in frames:
            if "function" in frame:
                yield f"  {frame['frame']:>2}  {fitted(frame['function'])} {place(frame)}"


def box(url: str, password: str) -> Iterator[str]:
    login = (
        f"admin / {password}   (shown only now)" if password else "as before; make admin sets a new password"
    )
    yield f"""
  Open      {url}/
  Log in    {login}
  Upload    {url}/uploads/ or make manage ARGS="symbols add DIRECTORY"
  Paste     a crash at {url}/symbolicate/
  Log       {LOG.relative_to(ROOT)} has every line; warnings and errors appear here, too
  Stop      Ctrl-C
"""


def fitted(function: str) -> str:
    shown = function if len(function) <= WIDTH else f"{function[: WIDTH - 1]}…"
    return f"{shown:<{WIDTH}}"


def place(frame: dict[str, Any]) -> str:
    if "line" not in frame:
        return f"in {frame.get('module', '?')}"
    return f"{'/'.join(frame['file'].split('/')[-3:])}:{frame['line']}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The supervisor notices the closed pipe, too, and stops everything.
        os._exit(0)
