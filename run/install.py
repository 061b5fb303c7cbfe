"""`python3 run/install.py run|dev|browser|cli`: locked packages in .venv (cli: .venv-cli), if need be."""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / ".run" / "install.log"
THIS_PYTHON = f"{sys.executable} {sys.version} in {ROOT}"
PIP = ["pip", "install", "--disable-pip-version-check", "--timeout", "30", "--retries", "2"]
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Network is unreachable")


def main(lock: str) -> None:
    LOG.parent.mkdir(exist_ok=True)
    with LOG.with_suffix(".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        install(ROOT / f"requirements-{lock}.txt", ROOT / (".venv-cli" if lock == "cli" else ".venv"))


def install(requirements: Path, venv: Path) -> None:
    made_with, installed = venv / "made-with", venv / f"installed-{requirements.name}"
    wanted = hashlib.sha256(requirements.read_bytes()).hexdigest()
    same_python = made_with.exists() and made_with.read_text() == THIS_PYTHON
    if same_python and installed.exists() and installed.read_text() == wanted:
        return
    print(f"Installing {requirements.name} into {venv.name}, once ...", file=sys.stderr, flush=True)
    with LOG.open("w") as log:
        if not same_python:
            call(log, sys.executable, "-m", "venv", "--clear", venv)
            made_with.write_text(THIS_PYTHON)
        call(log, venv / "bin" / "python", "-m", *PIP, "--require-hashes", "-r", requirements)
    installed.write_text(wanted)


def call(log: IO[str], *command: str | Path) -> None:
    if subprocess.call(command, stdout=log, stderr=subprocess.STDOUT) != 0:
        sys.exit(f"Could not install: {reason(LOG.read_text())} (all of it is in {LOG.relative_to(ROOT)})")


def reason(output: str) -> str:
    if any(sign in output for sign in NO_NETWORK):
        return "the package index is out of reach; is there a network?"
    if "ensurepip" in output:
        return "this Python has no venv module (on Debian: apt install python3-venv)"
    lines = output.strip().splitlines() or ["no output"]
    return next((line for line in lines if line.startswith("ERROR")), lines[-1])


if __name__ == "__main__":
    main(*sys.argv[1:])
