"""Tests of the notes that the forge gives a release."""

from __future__ import annotations

import subprocess
import sys

import pytest

from run.release import find_notes
from tecken import __version__
from tecken.settings import BASE_DIR

CHANGELOG = """\
# Changelog

## [Unreleased]

* not yet

## [1.1.0] - 2026-12-24

* second

## [1.0.0] - 2026-11-30

* first
"""


def release(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "run/release.py", *arguments]
    return subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)


def test_notes_are_the_section_of_the_version() -> None:
    assert find_notes(CHANGELOG, "1.1.0") == "* second"
    assert find_notes(CHANGELOG, "1.0.0") == "* first"


@pytest.mark.parametrize("version", ["1.2.0", "1.0", "1x0.0", "Unreleased"])
def test_notes_of_a_version_without_a_section_exit(version: str) -> None:
    with pytest.raises(SystemExit, match="has no heading"):
        find_notes(CHANGELOG, version)


def test_release_of_this_version_prints_its_notes() -> None:
    done = release("tag", f"v{__version__}")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.strip()
    assert release("branch", "main").stdout == done.stdout


def test_release_of_another_tag_exits_with_an_error() -> None:
    done = release("tag", "v0.0.1")
    assert done.returncode == 1
    assert done.stdout == ""
    assert f"The tag v0.0.1 is not v{__version__}" in done.stderr
