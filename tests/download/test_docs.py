"""docs/download.md and docs/protocols.md work as they are written."""

from __future__ import annotations

import re
import subprocess
from fnmatch import fnmatchcase
from pathlib import Path

import pytest
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from tecken.settings import BASE_DIR

DOCS = BASE_DIR / "docs"


@pytest.mark.usefixtures("storage")
@pytest.mark.parametrize("document", ["download", "protocols"])
def test_every_command_prints_what_is_written(live_server: LiveServer, tmp_path: Path, document: str) -> None:
    call_command("symbols", "add", str(BASE_DIR / "tests" / "data" / "samples"))
    blocks = re.findall(r"```console\n(.*?)```", (DOCS / f"{document}.md").read_text(), re.DOTALL)
    assert blocks
    for command, expected in (pair for block in blocks for pair in commands(block)):
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
    names = set(re.findall(r"`((?:DOWNLOAD|ABSENT)_[A-Z_]+)`", (DOCS / "download.md").read_text()))
    documented = (DOCS / "configuration.md").read_text()
    assert names
    assert {name for name in names if f"| `{name}` |" not in documented} == set()
