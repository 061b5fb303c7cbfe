"""The client as its users get it: the wheel of client/, and the one file that a site serves."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import distribution
from pathlib import Path
from typing import NamedTuple
from zipfile import ZipFile

import httpx
import pytest
from pytest_django.live_server_helper import LiveServer

from tecken.client import __version__
from tecken.settings import BASE_DIR
from tecken.upload import program
from tests.client.conftest import MakeSym

pytest_plugins = ["tests.client.site"]
NATIVE = BASE_DIR / "tests" / "data" / "native"
PROJECT = tomllib.loads((BASE_DIR / "client" / "pyproject.toml").read_text())
# The formats are included as a folder, so that a new one needs no line there.
NOT_IMPORTED = {"tecken/symbols/formats/cabinet.py"}
LIST_MODULES = """
import sys, tecken.client.__main__, tecken.client.symbolicate
for module in sys.modules.values():
    print(module.__name__, module.__dict__.get("__file__"))
"""
KEY = f"libx.so/{'A' * 33}/libx.so.sym"


class Environment(NamedTuple):
    """Virtual environment with nothing but the wheel and what it requires."""

    home: Path
    wheel: Path

    def run(self, *command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        return run(str(self.home / "bin" / command[0]), *command[1:], cwd=cwd)


def run(*command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a program with no more of our environment than the server's address and token."""
    names = ("TECKEN_URL", "TECKEN_TOKEN")
    environment = {name: os.environ[name] for name in names if name in os.environ}
    return subprocess.run(
        command,
        cwd=cwd,
        env={"PATH": "/usr/bin:/bin", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def packages(requirements: list[str], found: set[str]) -> set[str]:
    for name in (program._name(text) for text in requirements if "extra ==" not in text):
        if name not in found and program._is_installed(name):
            found.add(name)
            packages(distribution(name).requires or [], found)
    return found


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """Return an environment, made without a network: the packages are copied from that of the tests."""
    folder = tmp_path_factory.mktemp("installed")
    build = (sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder))
    subprocess.run(build, cwd=BASE_DIR / "client", check=True, capture_output=True)
    [wheel] = folder.glob("*.whl")
    home = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home)], check=True)
    [target] = home.glob("lib/python*/site-packages")
    for name in packages(PROJECT["project"]["dependencies"], set()):
        for file in distribution(name).files or []:
            if ".." not in file.parts and file.locate().is_file():  # type: ignore[attr-defined]
                (target / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(str(file.locate()), target / file)
    uv = str(Path(sys.executable).with_name("uv"))
    install = (uv, "pip", "install", "--offline", "--python", str(home), str(wheel))
    subprocess.run(install, check=True, capture_output=True)
    return Environment(home, wheel)


def test_wheel_is_named_versioned_and_licensed(installed: Environment) -> None:
    assert installed.wheel.name == f"tecken_upload-{__version__}-py3-none-any.whl"
    with ZipFile(installed.wheel) as wheel:
        folder = f"tecken_upload-{__version__}.dist-info"
        assert wheel.read(f"{folder}/licenses/LICENSE") == (BASE_DIR / "LICENSE").read_bytes()
        assert b"\nLicense-Expression: MPL-2.0\n" in wheel.read(f"{folder}/METADATA")


def test_wheel_has_the_client_for_crash_reports(installed: Environment, tmp_path: Path) -> None:
    assert (
        "tecken-symbolicate < crash.txt" in installed.run("tecken-symbolicate", "--help", cwd=tmp_path).stdout
    )


def test_wheel_has_the_modules_that_the_client_imports_and_no_others(
    installed: Environment, tmp_path: Path
) -> None:
    listing = installed.run("python", "-c", LIST_MODULES, cwd=tmp_path).stdout
    loaded = {
        path[path.rindex("site-packages/") + len("site-packages/") :]
        for name, path in (line.split(" ", 1) for line in listing.splitlines())
        if name.split(".")[0] == "tecken"
    }
    with ZipFile(installed.wheel) as wheel:
        modules = {name for name in wheel.namelist() if name.endswith(".py")}
    assert modules == loaded | NOT_IMPORTED


def test_wheel_requires_neither_django_nor_redis() -> None:
    required = packages(PROJECT["project"]["dependencies"], set())
    assert required & {"django", "redis", "celery", "obstore", "symbolic"} == set()
    assert {"httpx", "stamina", "tqdm"} <= required


def test_wheel_shows_help_and_checks_files(installed: Environment, tmp_path: Path) -> None:
    shown = installed.run("tecken-upload", "--help", cwd=tmp_path)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert shown.stdout.startswith("usage: tecken-upload")
    for name in ("libnative.so", "packed.pdb"):
        checked = installed.run("tecken-upload", "check", str(NATIVE / name), cwd=tmp_path)
        assert "debug id" in checked.stdout, checked.stderr


def test_wheel_uploads_to_a_site(
    installed: Environment, site: LiveServer, make_sym: MakeSym, tmp_path: Path
) -> None:
    make_sym("build/x.sym")
    sent = installed.run("tecken-upload", "build", cwd=tmp_path)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert httpx.get(f"{site.url}/{KEY}").is_success


def test_file_of_the_site_uploads_to_it(site: LiveServer, make_sym: MakeSym, tmp_path: Path) -> None:
    make_sym("build/x.sym")
    (tmp_path / "tecken-upload.pyz").write_bytes(httpx.get(f"{site.url}/tecken-upload.pyz").content)
    # Without site-packages the interpreter has nothing but its standard library.
    python = (sys.executable, "-I", "-S", "tecken-upload.pyz")
    assert run(*python, "--version", cwd=tmp_path).stdout == f"tecken-upload {__version__}\n"
    sent = run(*python, "--url", site.url, "build", cwd=tmp_path)
    assert (sent.returncode, sent.stderr) == (0, "")
    assert httpx.get(f"{site.url}/{KEY}").is_success


def test_file_of_the_site_names_what_a_compressed_pdb_needs(tmp_path: Path) -> None:
    (tmp_path / "tecken-upload.pyz").write_bytes(program.build(BASE_DIR))
    python = (sys.executable, "-I", "-S", "tecken-upload.pyz")
    checked = run(*python, "check", str(NATIVE / "packed.pdb"), cwd=tmp_path)
    assert "install the package zstandard" in checked.stderr
    assert "Traceback" not in checked.stderr


def test_file_of_the_site_has_the_client_for_crash_reports(tmp_path: Path) -> None:
    (tmp_path / "tecken-upload.pyz").write_bytes(program.build(BASE_DIR))
    code = """
import sys
sys.path.insert(0, "tecken-upload.pyz")
from tecken.client.symbolicate import main
main(["--help"])
"""
    shown = run(sys.executable, "-I", "-S", "-c", code, cwd=tmp_path)
    assert shown.stdout.startswith("usage: tecken-symbolicate"), shown.stderr
