"""Distribution of tests to the workers of pytest-xdist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

SHARED_SITE = """
import pytest

@pytest.mark.xdist_group("site")
@pytest.mark.parametrize("number", range(8))
def test_site(number):
    pass
"""


def test_tests_of_a_group_run_in_one_worker(tmp_path: Path) -> None:
    """A release of pytest with which pytest-xdist ignores groups starts each shared site in each worker."""
    (tmp_path / "test_site.py").write_text(SHARED_SITE)
    command = [sys.executable, "-m", "pytest", "-p", "no:django", "-n", "2", "--dist", "loadgroup", "-v", "."]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    workers = re.findall(r"^\[(gw\d)\] .* PASSED", done.stdout, re.MULTILINE)
    assert (len(workers), len(set(workers))) == (8, 1), done.stdout + done.stderr
