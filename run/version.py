"""Writes version.json, which `/__version__` shows. COMMIT is given where git is not (in an image)."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib

from run.checkout import ROOT


def commit() -> str:
    if given := os.environ.get("COMMIT"):
        return given
    try:
        return subprocess.check_output(
            ["git", "rev-parse", "HEAD"], cwd=ROOT, text=True, stderr=subprocess.DEVNULL
        ).strip()
    except (OSError, subprocess.CalledProcessError):
        return ""


def write() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    shown = {
        "source": "",
        "version": project["version"],
        "commit": commit(),
        "build": os.environ.get("BUILD", ""),
    }
    (ROOT / "version.json").write_text(json.dumps(shown) + "\n")


if __name__ == "__main__":
    write()
