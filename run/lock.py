"""Pinning of requirements*.in with hashes (`make lock`): one version of a package in all files of .venv."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COMPILE = [
    ".venv/bin/uv",
    "pip",
    "compile",
    "--quiet",
    "--upgrade",
    "--universal",
    "--python-version",
    "3.11",
]
COMPILE += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
COMPILE += ["--custom-compile-command", "make lock"]


def main() -> None:
    """Pin all files."""
    pin("requirements-uv")
    pin("requirements-cli")
    pin("requirements-dev")
    pin("requirements-run", "--constraint", "requirements-dev.txt")
    pin("requirements", "--constraint", "requirements-dev.txt")
    pin("requirements-browser", "--constraint", "requirements-dev.txt")
    pin("requirements-docs", "--constraint", "requirements-dev.txt")
    pin("requirements-mutants", "--constraint", "requirements-dev.txt")
    pin("requirements-deploy", "--constraint", "requirements-dev.txt")


def pin(name: str, *options: str) -> None:
    """Write `NAME.txt` from `NAME.in`."""
    subprocess.run([*COMPILE, *options, f"{name}.in", "--output-file", f"{name}.txt"], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
