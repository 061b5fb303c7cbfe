"""`python3 run/install.py run|dev|browser|mutants|cli`: packages in .venv (cli: .venv-cli), if need be.

The standard library only: nothing is installed yet. Packages come through uv, which downloads them side by
side; where it cannot be installed or fails, pip installs the same files.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

ROOT = Path(__file__).resolve().parent.parent
LOG = ROOT / ".run" / "install.log"
THIS_PYTHON = f"{sys.executable} {sys.version} in {ROOT}"
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--timeout", "30", "--retries", "2")
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Network is unreachable")
# uv does not read pip's configuration. A machine may reach a mirror only.
OPTIONS_OF_BOTH = ("index-url", "extra-index-url", "find-links")
STEPS = 3


class Failed(Exception):
    """A command ended with an error; its output is in LOG."""


class Progress:
    """The lines a person reads meanwhile: the steps, and on a terminal how far the present one is."""

    def __init__(self) -> None:
        self._steps = 0
        self._is_terminal = sys.stderr.isatty()

    def step(self, text: str) -> None:
        self._steps += 1
        self.line(f"  [{self._steps}/{STEPS}] {text}")

    def line(self, text: str) -> None:
        print(f"{self._start()}{text}", file=sys.stderr, flush=True)

    def follow(self, texts: Iterator[str]) -> None:
        """Show each text in place of the one before."""
        try:
            for text in texts:
                if self._is_terminal:
                    print(f"{self._start()}        {text[:70]}", end="", file=sys.stderr, flush=True)
        finally:
            print(self._start(), end="", file=sys.stderr, flush=True)

    def _start(self) -> str:
        return "\r\033[K" if self._is_terminal else ""


def main(lock: str) -> None:
    LOG.parent.mkdir(exist_ok=True)
    # Two commands of one checkout must not write to the same environment.
    with LOG.with_suffix(".lock").open("w") as alone:
        fcntl.flock(alone, fcntl.LOCK_EX)
        install(ROOT / f"requirements-{lock}.txt", ROOT / (".venv-cli" if lock == "cli" else ".venv"))


def install(requirements: Path, venv: Path) -> None:
    made_with, installed = venv / "made-with", venv / f"installed-{requirements.name}"
    digest = hashlib.sha256(requirements.read_bytes()).hexdigest()
    is_same_python = made_with.exists() and made_with.read_text() == THIS_PYTHON
    if is_same_python and installed.exists() and installed.read_text() == digest:
        return
    progress, start = Progress(), time.monotonic()
    progress.line(f"Installing {requirements.name} into {venv.name} (only once)")
    with LOG.open("w") as log:
        progress.step("Python environment")
        if not is_same_python:
            progress.follow(output(log, sys.executable, "-m", "venv", "--clear", str(venv)))
            made_with.write_text(THIS_PYTHON)
        install_packages(log, progress, venv, requirements)
    installed.write_text(digest)
    progress.line(f"Installed in {time.monotonic() - start:.0f} s")


def install_packages(log: IO[str], progress: Progress, venv: Path, requirements: Path) -> None:
    python = str(venv / "bin" / "python")
    # Some of them are for other platforms.
    most = len(re.findall(r"^\S+==", requirements.read_text(), re.MULTILINE))
    files = ("--require-hashes", "-r", str(requirements))
    try:
        progress.step("uv, the installer")
        uv_file = str(ROOT / "requirements-uv.txt")
        only_wheels = ("--only-binary", ":all:", "--require-hashes", "-r", uv_file)
        progress.follow(output(log, python, *PIP, *only_wheels))
        progress.step(f"packages, {most} at most")
        uv = (str(venv / "bin" / "uv"), "pip", "install", "--python", python, *options_of_pip(python))
        progress.follow(downloads(output(log, *uv, *files)))
    except Failed:
        if has_no_network():
            raise
        progress.line(f"        uv does not work here (see {LOG.relative_to(ROOT)}): pip takes its place")
        progress.follow(collected(output(log, python, *PIP, *files), most))


def options_of_pip(python: str) -> Iterator[str]:
    """Yield what pip is configured with and uv has an option for."""
    lines = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for line in lines.stdout.splitlines():
        name, _, value = line.partition("=")
        name = name.rpartition(".")[2]
        if name in OPTIONS_OF_BOTH:
            for word in value.strip("'").replace("\\n", " ").split():
                # pip warns of a directory that does not exist, and uv fails.
                if name != "find-links" or "://" in word or Path(word).exists():
                    yield from (f"--{name}", word)


def output(log: IO[str], *command: str) -> Iterator[str]:
    """Run the command; yield its lines, which are logged. Raises Failed."""
    environment: Mapping[str, str] = {**os.environ, "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env=environment,
    ) as process:
        assert process.stdout
        for line in process.stdout:
            log.write(line)
            log.flush()
            yield line.strip()
    if process.returncode:
        raise Failed


def downloads(lines: Iterator[str]) -> Iterator[str]:
    """Yield how far uv is; it names the large files."""
    begun, done = 0, 0
    for line in lines:
        begun += line.startswith("Downloading ")
        done += line.startswith("Downloaded ")
        if not line.startswith("+ "):
            yield f"{line} ({done} of {begun} large files)" if begun > done else line


def collected(lines: Iterator[str], most: int) -> Iterator[str]:
    """Yield how far pip is; it names each package first, and installs all of them at the end."""
    done = 0
    for line in lines:
        if line.startswith("Collecting "):
            done += 1
            yield f"{done} of {most}: {line.split()[1]}"
        elif line.startswith("Installing "):
            yield "unpacking"


def has_no_network() -> bool:
    text = LOG.read_text()
    return any(sign in text for sign in NO_NETWORK)


def reason() -> str:
    if has_no_network():
        return "the package index cannot be reached; check the network"
    text = LOG.read_text()
    if "ensurepip" in text:
        return "this Python has no venv module (on Debian: apt install python3-venv)"
    lines = text.strip().splitlines() or ["no output"]
    return next((line for line in reversed(lines) if line.startswith("ERROR")), lines[-1])


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failed:
        sys.exit(f"Could not install: {reason()} (the whole output is in {LOG.relative_to(ROOT)})")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the next `make` continues.")
