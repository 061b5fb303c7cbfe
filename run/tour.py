"""First output of `make run`: a stack that this site has symbolicated, and where to look next."""

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
# At the first start Python compiles a thousand modules, which takes long on a busy machine.
STARTS_WITHIN = 120.0
ANSWERS_WITHIN = 30.0
# Letters of a function's name.
WIDTH = 48


def main() -> None:
    """Print the tour. Standard input has the password of a new account, or nothing."""
    password, url = sys.stdin.read().strip(), os.environ["TECKEN_URL"]
    deadline = time.monotonic() + STARTS_WITHIN
    for server in ("REDIS_URL", "REDIS_STORE_URL"):
        wait_for(os.environ[server], deadline)
    # The web server starts at the same time.
    add_samples()
    wait_for(url, deadline)
    print("\n".join([*show_sample(url), *show_box(url, password)]), flush=True)


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
    """Store the samples."""
    command = [sys.executable, "manage.py", "symbols", "add", SAMPLES]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        print(f"Cannot store the samples: {done.stderr.strip()}", flush=True)


def show_sample(url: str) -> list[str]:
    """Return the symbolicated sample, or one line with the reason of a failure."""
    body = (ROOT / STACK).read_bytes()
    try:
        with urlopen(f"{url}/symbolicate/v5", body, timeout=ANSWERS_WITHIN) as response:
            return list(show_stack(json.load(response)))
    except OSError as error:
        return [f"\nThe stack in {STACK} was not symbolicated: {error}; see {LOG.relative_to(ROOT)}"]


def show_stack(answer: dict[str, Any]) -> Iterator[str]:
    """Yield the frames that have a function, without inlined calls."""
    yield f"\nThe stack in {STACK}, symbolicated:\n"
    for frames in answer["results"][0]["stacks"]:
        for frame in frames:
            if "function" in frame:
                yield f"  {frame['frame']:>2}  {fit(frame['function'])} {describe_place(frame)}"


def show_box(url: str, password: str) -> Iterator[str]:
    """Yield the address, the account and the next steps."""
    login = (
        f"admin / {password}   (shown only now)" if password else "as before; make admin sets a new password"
    )
    yield f"""
  Open      {url}/   (a guided tour)
  Log in    {login}
  Upload    {url}/uploads/ or make manage ARGS="symbols add DIRECTORY"
  Paste     a crash, or drop a minidump, at {url}/symbolicate/
  Log       {LOG.relative_to(ROOT)} has every line; warnings and errors appear here, too
  Stop      Ctrl-C
"""


def fit(function: str) -> str:
    """Return the name of a function, cut or padded to WIDTH."""
    text = function if len(function) <= WIDTH else f"{function[: WIDTH - 1]}…"
    return f"{text:<{WIDTH}}"


def describe_place(frame: dict[str, Any]) -> str:
    """Return the file and line of a frame, or its module."""
    if "line" not in frame:
        return f"in {frame.get('module', '?')}"
    return f"{'/'.join(frame['file'].split('/')[-3:])}:{frame['line']}"


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # The supervisor stops everything, because it detects the closed pipe, too.
        os._exit(0)
