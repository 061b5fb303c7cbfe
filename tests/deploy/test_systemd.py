"""Units of deploy/systemd: systemd accepts them without a warning, and they are as narrow as documented."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tecken.settings import BASE_DIR

UNITS = BASE_DIR / "deploy" / "systemd"
SERVICES = sorted(UNITS.glob("*.service"))
PROCESSES = ("tecken-web.service", "tecken-worker@.service", "tecken-beat.service")
PYTHON = "/opt/tecken/current/.venv/bin/python"
# Of systemd-analyze security: 0 is closed, 10 is open. docs/systemd.md has the figure.
MOST_EXPOSED = 1.5

needs_systemd = pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="no systemd-analyze here")


def names(paths: list[Path]) -> list[str]:
    return [path.name for path in paths]


def value(unit: str, key: str) -> str:
    found = re.findall(rf"^{key}=(.*)$", (UNITS / unit).read_text(), re.MULTILINE)
    assert len(found) == 1, f"{unit}: {key}"
    return str(found[0])


@needs_systemd
def test_units_have_no_problem(tmp_path: Path) -> None:
    units = [path for path in UNITS.iterdir() if path.suffix in (".service", ".socket", ".target", ".timer")]
    for unit in units:
        # Programs that an upgrade installs later.
        text = unit.read_text().replace(PYTHON, sys.executable)
        text = text.replace("/usr/bin/redis-server", sys.executable)
        (tmp_path / unit.name).write_text(text)
    command = ["systemd-analyze", "verify", *(str(tmp_path / unit.name) for unit in units)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    ours = [line for line in done.stderr.splitlines() if "tecken" in line]
    assert (done.returncode, ours) == (0, [])


@needs_systemd
@pytest.mark.parametrize("unit", SERVICES, ids=names(SERVICES))
def test_service_is_as_narrow_as_documented(unit: Path) -> None:
    command = ["systemd-analyze", "security", "--offline=true", "--no-pager", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    found = re.search(r"exposure level for \S+: ([0-9.]+)", done.stdout)
    if found is None and "offline" in done.stderr:
        pytest.skip("this systemd-analyze has no --offline")
    assert found, done.stdout + done.stderr
    assert float(found[1]) <= MOST_EXPOSED


@pytest.mark.parametrize("unit", PROCESSES)
def test_process_with_a_wrong_configuration_is_not_restarted(unit: str) -> None:
    assert value(unit, "Restart") == "always"
    assert value(unit, "RestartPreventExitStatus") == str(os.EX_CONFIG)


@pytest.mark.parametrize("unit", SERVICES, ids=names(SERVICES))
def test_service_runs_without_privileges(unit: Path) -> None:
    assert value(unit.name, "User") in ("tecken", "tecken-redis")
    assert value(unit.name, "NoNewPrivileges") == "yes"
    assert value(unit.name, "ProtectSystem") == "strict"


def test_commands_of_services_exist() -> None:
    for unit in SERVICES:
        words = value(unit.name, "ExecStart").split()
        if words[0] == PYTHON:
            known = {"manage.py", "-m run.web", "-m celery"}
            assert " ".join(words[1:3]) in known or words[1] in known
        else:
            assert (BASE_DIR / words[1].removeprefix("/opt/tecken/current/")).is_file()


def test_environment_example_has_settings_of_the_documents_only() -> None:
    documented = (BASE_DIR / "docs" / "configuration.md").read_text()
    for name in re.findall(r"^([A-Z_]+)=", (UNITS / "env.example").read_text(), re.MULTILINE):
        assert f"`{name}`" in documented or name in ("BACKUP_PLACE", "BACKUP_KEEP")


@pytest.mark.parametrize("name", ["upgrade", "rollback"])
def test_host_script_prints_its_usage(name: str) -> None:
    done = subprocess.run(
        [BASE_DIR / "deploy" / "host" / name, "--help"], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith(f"Usage: {name} [OPTIONS]")


@pytest.mark.skipif(not shutil.which("shellcheck"), reason="no shellcheck here")
def test_scripts_have_no_finding_of_shellcheck() -> None:
    scripts = [*(BASE_DIR / "deploy" / "host").iterdir(), *(BASE_DIR / "tests" / "deploy").glob("*_systemd")]
    command = ["shellcheck", "-x", *map(str, scripts)]
    done = subprocess.run(command, cwd=BASE_DIR, capture_output=True, text=True, check=False)
    assert done.stdout == ""


@pytest.mark.skipif("SYSTEMD_BOOT" not in os.environ, reason="boots a container as root: SYSTEMD_BOOT=1")
def test_units_upgrade_and_rollback_in_a_booted_systemd() -> None:
    if os.getuid() or not shutil.which("systemd-nspawn"):
        pytest.skip("needs root and systemd-nspawn")
    done = subprocess.run(
        [BASE_DIR / "tests/deploy/boot_systemd"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
