"""`python3 run/install.py run|dev|cli`: locked packages in .venv (cli: .venv-cli), unless they are there.

Plain enough for an older Python 3, so that it gets a sentence and not a syntax error.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import subprocess
import sys
from typing import IO

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LOG = os.path.join(ROOT, ".run", "install.log")
THIS_PYTHON = f"{sys.executable} {sys.version} in {ROOT}"
PIP = (
    "pip",
    "install",
    "--disable-pip-version-check",
    "--timeout",
    "30",
    "--retries",
    "2",
    "--require-hashes",
)
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Network is unreachable")


def main(lock: str) -> None:
    if sys.version_info < (3, 11):  # noqa: UP036 - exactly this is what the line is for
        sys.exit(
            f"Tecken needs Python 3.11 or newer, this is {sys.version.split()[0]}; try PYTHON=python3.13"
        )
    os.makedirs(os.path.dirname(LOG), exist_ok=True)
    with open(os.path.join(ROOT, ".run", "install.lock"), "w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        install(f"requirements-{lock}.txt", os.path.join(ROOT, ".venv-cli" if lock == "cli" else ".venv"))


def install(name: str, venv: str) -> None:
    made_with, stamp = os.path.join(venv, "made-with"), os.path.join(venv, "installed-" + name)
    requirements = os.path.join(ROOT, name)
    wanted = hashlib.sha256(read(requirements).encode()).hexdigest()
    if read(made_with) == THIS_PYTHON and read(stamp) == wanted:
        return
    print(f"Installing {name} into {os.path.basename(venv)}, once ...", file=sys.stderr, flush=True)
    with open(LOG, "w") as log:
        if read(made_with) != THIS_PYTHON:
            call(log, [sys.executable, "-m", "venv", "--clear", venv])
            write(made_with, THIS_PYTHON)
        call(log, [os.path.join(venv, "bin", "python"), "-m", *PIP, "-r", requirements])
    write(stamp, wanted)


def call(log: IO[str], command: list[str]) -> None:
    if subprocess.call(command, stdout=log, stderr=subprocess.STDOUT) != 0:
        sys.exit(f"Could not install: {reason(read(LOG))} (all of it is in {os.path.relpath(LOG)})")


def reason(output: str) -> str:
    if any(sign in output for sign in NO_NETWORK):
        return "the package index is out of reach; is there a network?"
    if "ensurepip" in output:
        return "this Python has no venv module (on Debian: apt install python3-venv)"
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1])


def read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:
        return ""


def write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)


if __name__ == "__main__":
    main(*sys.argv[1:])
