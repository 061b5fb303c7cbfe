"""`python3 run/install.py` in a checkout of its own, with wheels from a directory and no network."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from zipfile import ZipFile

import pytest

from run import install
from tecken.settings import BASE_DIR

METADATA = "Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n"
WHEEL = "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n"


def tiny_wheel(directory: Path) -> str:
    """Make the package `tiny` in the directory. Return its line in a requirements file."""
    path = directory / "tiny-1.0-py3-none-any.whl"
    with ZipFile(path, "w") as wheel:
        wheel.writestr("tiny.py", "NAME = 'tiny'\n")
        wheel.writestr("tiny-1.0.dist-info/METADATA", METADATA)
        wheel.writestr("tiny-1.0.dist-info/WHEEL", WHEEL)
        wheel.writestr("tiny-1.0.dist-info/RECORD", "")
    return f"tiny==1.0 --hash=sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}\n"


def installed(checkout: Path, python: str = sys.executable) -> subprocess.CompletedProcess[str]:
    variables = {
        "PATH": os.environ["PATH"],
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(checkout / "wheels"),
        "PIP_CONFIG_FILE": os.devnull,
        "UV_OFFLINE": "1",
    }
    command = [python, "run/install.py", "tiny"]
    return subprocess.run(command, cwd=checkout, env=variables, capture_output=True, text=True, check=False)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "run").mkdir()
    (tmp_path / "wheels").mkdir()
    shutil.copy(BASE_DIR / "run" / "install.py", tmp_path / "run")
    shutil.copy(BASE_DIR / "requirements-uv.txt", tmp_path)
    (tmp_path / "requirements-tiny.txt").write_text(tiny_wheel(tmp_path / "wheels"))
    return tmp_path


def test_install_without_a_wheel_of_uv_uses_pip_once(checkout: Path) -> None:
    first = installed(checkout)
    assert first.returncode == 0, first.stderr
    assert "[1/3] Python environment" in first.stderr
    assert "pip is used instead" in first.stderr
    python = checkout / ".venv" / "bin" / "python"
    assert subprocess.run([python, "-c", "import tiny"], check=False).returncode == 0
    second = installed(checkout)
    assert (second.returncode, second.stderr) == (0, "")


def test_install_with_the_python_of_the_environment_keeps_the_environment(checkout: Path) -> None:
    assert installed(checkout).returncode == 0
    own_file = checkout / ".venv" / "own-file"
    own_file.touch()
    again = installed(checkout, str(checkout / ".venv" / "bin" / "python"))
    assert (again.returncode, again.stderr) == (0, "")
    requirements = checkout / "requirements-tiny.txt"
    requirements.write_text(f"{requirements.read_text()}\n")
    changed = installed(checkout, str(checkout / ".venv" / "bin" / "python"))
    assert changed.returncode == 0, changed.stderr
    assert own_file.exists()


def test_options_of_pip_mirror_configured_is_handed_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_INDEX_URL", "https://mirror.example/simple")
    monkeypatch.setenv("PIP_FIND_LINKS", f"{tmp_path} {tmp_path}/not-there")
    monkeypatch.setenv("PIP_TIMEOUT", "60")
    options = list(install.find_pip_options(sys.executable))
    pairs = set(zip(options[::2], options[1::2], strict=True))
    assert pairs == {("--index-url", "https://mirror.example/simple"), ("--find-links", str(tmp_path))}


def test_downloads_large_files_under_way_are_counted() -> None:
    lines = ["Resolved 2 packages", "Downloading a (1MiB)", "Downloading b (2MiB)", " Downloaded a", "+ a==1"]
    assert list(install.summarize_uv(line.strip() for line in lines)) == [
        "Resolved 2 packages",
        "Downloading a (1MiB) (0 of 1 large files)",
        "Downloading b (2MiB) (0 of 2 large files)",
        "Downloaded a (1 of 2 large files)",
    ]


def test_collected_packages_of_pip_are_counted() -> None:
    lines = ["Collecting a==1 (from -r x)", "  Downloading a.whl", "Installing collected packages: a, b"]
    assert list(install.summarize_pip(iter(lines), 2)) == ["1 of 2: a==1", "unpacking"]


def test_install_other_file_than_locked_fails_with_the_reason(checkout: Path) -> None:
    (checkout / "requirements-tiny.txt").write_text(f"tiny==1.0 --hash=sha256:{'0' * 64}\n")
    done = installed(checkout)
    assert done.returncode == 1
    assert "Could not install: ERROR: THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr
    assert ".run/install.log" in done.stderr
