"""Shows a newcomer what `make run` started: stores the samples, symbolicates the stack they died on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

SAMPLES = "tests/data/samples"
STACK = f"{SAMPLES}/stack.json"
STARTS_WITHIN = 60.0  # seconds
WIDTH = 48  # of a function's name, in letters


def main() -> None:
    url = os.environ["TECKEN_URL"]
    wait_for(f"{url}/__lbheartbeat__", time.monotonic() + STARTS_WITHIN)
    stored = subprocess.run(
        [sys.executable, "manage.py", "symbols", "add", SAMPLES], capture_output=True, text=True, check=False
    )
    if stored.returncode:
        sys.exit(f"The samples could not be stored: {stored.stderr.strip()}")
    with open(STACK, "rb") as body, urlopen(f"{url}/symbolicate/v5", body.read(), timeout=30) as answer:
        print("\n".join(page(url, json.load(answer))), flush=True)


def wait_for(url: str, deadline: float) -> None:
    while True:
        try:
            urlopen(url, timeout=5).close()
        except URLError:
            if time.monotonic() > deadline:
                sys.exit(f"{url} does not answer")
            time.sleep(0.05)
        else:
            return


def page(url: str, answer: dict[str, Any]) -> Iterator[str]:
    yield f"\nThe stack in {STACK}, symbolicated:\n"
    for stack in answer["results"][0]["stacks"]:
        for frame in stack:
            yield from lines(frame)
    yield f"""
Symbolicate   curl -s {url}/symbolicate/v5 -d @{STACK}
Look inside   make redis-store-cli ARGS="keys '*'"
Manage        make manage ARGS="symbols add DIRECTORY"
Health        {url}/__heartbeat__
Stop          Ctrl-C
"""


def lines(frame: dict[str, Any]) -> Iterator[str]:
    """The inlined calls stand above the function they were inlined into, as they do in a debugger."""
    for call in frame.get("inlines", ()):
        yield f"      {fitted(call['function'])} {place(call)}  (inlined)"
    yield f"  {frame['frame']:>2}  {fitted(frame.get('function', frame['module_offset']))} {place(frame)}"


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
