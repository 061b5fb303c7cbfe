"""docs/download.md works as it is written."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from tecken.settings import BASE_DIR

DOC = (BASE_DIR / "docs" / "download.md").read_text()
BLOCKS = re.findall(r"```console\n(.*?)```", DOC, re.DOTALL)


@pytest.mark.usefixtures("storage")
def test_every_command_prints_what_is_written(live_server: LiveServer, tmp_path: Path) -> None:
    call_command("symbols", "add", str(BASE_DIR / "tests" / "data" / "samples"))
    assert BLOCKS
    for command, expected in (pair for block in BLOCKS for pair in commands(block)):
        told = shell(command.replace("http://localhost:8000", live_server.url), tmp_path)
        assert matches(told, expected), command


def commands(block: str) -> list[tuple[str, str]]:
    """Each with what it prints."""
    return [
        (command, expected) for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.M)
    ]


def shell(command: str, where: Path) -> str:
    done = subprocess.run(
        ["bash", "-c", command], cwd=where, capture_output=True, text=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (0, ""), command
    return done.stdout


def matches(told: str, expected: str) -> bool:
    """`*` stands for anything; spaces at the end do not count."""
    pattern = expected.strip().replace("[", "[[]")
    said = told.replace("\r", "").strip()
    return fnmatchcase(f"{said}\n" if pattern.endswith("*") else said, pattern)


def test_every_setting_that_is_named_exists() -> None:
    names = set(re.findall(r"`((?:DOWNLOAD|ABSENT)_[A-Z_]+)`", DOC))
    documented = (BASE_DIR / "docs" / "configuration.md").read_text()
    assert names
    assert {name for name in names if f"| `{name}` |" not in documented} == set()
