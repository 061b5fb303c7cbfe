"""Installation of packages: `python3 run/install.py run|dev|browser|docs|mutants|deploy|cli`.

All are installed in .venv, those of `cli` in .venv-cli. Only what has changed is installed. This module
imports the standard library only, because nothing else is installed yet. uv downloads packages in parallel;
where it cannot be installed or fails, pip installs the same files.
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
# The interpreter outside of any virtual environment. `.venv/bin/python run/install.py` would otherwise take
# itself for another Python than the one that made .venv, and empty the environment that it runs from.
BASE_PYTHON = str(Path(getattr(sys, "_base_executable", sys.executable)).resolve())
THIS_PYTHON = f"{BASE_PYTHON} {sys.version} in {ROOT}"
PIP = ("-m", "pip", "install", "--disable-pip-version-check", "--timeout", "30", "--retries", "2")
NO_NETWORK = ("NewConnectionError", "NameResolutionError", "ConnectTimeout", "Network is unreachable")
# uv does not read pip's configuration, and some machines can reach a mirror only.
SHARED_OPTIONS = ("index-url", "extra-index-url", "find-links")
STEPS = 3


class Failed(Exception):
    """Error of a command whose output is in LOG."""


class Progress:
    """Progress on standard error: the steps, and on a terminal the state of the present one."""

    def __init__(self) -> None:
        self._steps = 0
        self._is_terminal = sys.stderr.isatty()

    def step(self, text: str) -> None:
        """Print the next step."""
        self._steps += 1
        self.line(f"  [{self._steps}/{STEPS}] {text}")

    def line(self, text: str) -> None:
        """Print a line."""
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


def main(name: str) -> None:
    """Install the packages of `requirements-NAME.txt`."""
    LOG.parent.mkdir(exist_ok=True)
    # Two commands of one checkout must not write to the same environment.
    with LOG.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        install(ROOT / f"requirements-{name}.txt", ROOT / (".venv-cli" if name == "cli" else ".venv"))


def install(requirements: Path, venv: Path) -> None:
    """Install the packages, unless the same file was installed with the same Python before."""
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
            progress.follow(run(log, BASE_PYTHON, "-m", "venv", "--clear", str(venv)))
            made_with.write_text(THIS_PYTHON)
        install_packages(log, progress, venv, requirements)
    # Written last: after an interruption the next command installs the rest.
    installed.write_text(digest)
    progress.line(f"Installed in {time.monotonic() - start:.0f} s")


def install_packages(log: IO[str], progress: Progress, venv: Path, requirements: Path) -> None:
    """Install the packages with uv, or with pip where uv does not work."""
    python = str(venv / "bin" / "python")
    # Some of them are for other platforms.
    total = len(re.findall(r"^\S+==", requirements.read_text(), re.MULTILINE))
    files = ("--require-hashes", "-r", str(requirements))
    try:
        progress.step("uv, the installer")
        uv_file = str(ROOT / "requirements-uv.txt")
        only_wheels = ("--only-binary", ":all:", "--require-hashes", "-r", uv_file)
        progress.follow(run(log, python, *PIP, *only_wheels))
        progress.step(f"packages, {total} at most")
        uv = (str(venv / "bin" / "uv"), "pip", "install", "--python", python, *find_pip_options(python))
        progress.follow(summarize_uv(run(log, *uv, *files)))
    except Failed:
        if has_no_network():
            raise
        progress.line(f"        uv does not work here (see {LOG.relative_to(ROOT)}); pip is used instead")
        progress.follow(summarize_pip(run(log, python, *PIP, *files), total))


def find_pip_options(python: str) -> Iterator[str]:
    """Yield uv's options for what pip is configured with."""
    listing = subprocess.run(
        [python, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    for line in listing.stdout.splitlines():
        name, _, value = line.partition("=")
        name = name.rpartition(".")[2]
        if name in SHARED_OPTIONS:
            for word in value.strip("'").replace("\\n", " ").split():
                # For a directory that does not exist pip prints a warning, while uv fails.
                if name != "find-links" or "://" in word or Path(word).exists():
                    yield from (f"--{name}", word)


def run(log: IO[str], *command: str) -> Iterator[str]:
    """Run the command, log its lines and yield them.

    Raises:
        Failed: The command ended with an error.
    """
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


def summarize_uv(lines: Iterator[str]) -> Iterator[str]:
    """Yield the progress of uv, which prints the names of large files."""
    begun, done = 0, 0
    for line in lines:
        begun += line.startswith("Downloading ")
        done += line.startswith("Downloaded ")
        if not line.startswith("+ "):
            yield f"{line} ({done} of {begun} large files)" if begun > done else line


def summarize_pip(lines: Iterator[str], total: int) -> Iterator[str]:
    """Yield the progress of pip, which names each package first and installs all of them at the end."""
    done = 0
    for line in lines:
        if line.startswith("Collecting "):
            done += 1
            yield f"{done} of {total}: {line.split()[1]}"
        elif line.startswith("Installing "):
            yield "unpacking"


def has_no_network() -> bool:
    """Return whether the log shows that the package index is unreachable."""
    text = LOG.read_text()
    return any(sign in text for sign in NO_NETWORK)


def find_reason() -> str:
    """Return why the installation failed, from the log."""
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
        sys.exit(f"Could not install: {find_reason()} (the whole output is in {LOG.relative_to(ROOT)})")
    except KeyboardInterrupt:
        sys.exit("\nInterrupted; the next `make` continues.")
