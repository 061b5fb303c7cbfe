"""`make lock`: pins requirements*.in with hashes, one version per package over the files of .venv."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOOL = ROOT / ".cache" / "lock"
COMPILE = ["uv", "pip", "compile", "--quiet", "--upgrade", "--universal", "--python-version", "3.11"]
COMPILE += ["--generate-hashes", "--no-emit-index-url", "--no-emit-find-links"]
COMPILE += ["--custom-compile-command", "make lock"]


def main() -> None:
    if not (TOOL / "bin" / "uv").exists():
        subprocess.run([sys.executable, "-m", "venv", TOOL], check=True)
        subprocess.run([TOOL / "bin" / "pip", "install", "--quiet", "uv"], check=True)
    pin("requirements-cli")
    pin("requirements-dev")
    pin("requirements-run", "--constraint", "requirements-dev.txt")
    pin("requirements", "--constraint", "requirements-dev.txt")
    pin("requirements-browser", "--constraint", "requirements-dev.txt")


def pin(name: str, *options: str) -> None:
    words = [*COMPILE, *options, f"{name}.in", "--output-file", f"{name}.txt"]
    subprocess.run([TOOL / "bin" / words[0], *words[1:]], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
