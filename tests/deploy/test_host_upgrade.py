"""Decisions of deploy/host/upgrade and rollback, with releases that only record what is done with them.

`boot_systemd` upgrades whole sites under load.
"""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tecken.settings import BASE_DIR
from tests.support.background_server import BackgroundServer

SCRIPTS = BASE_DIR / "deploy" / "host"
# The interpreter of a release: it records its arguments, and fails as the file `fails` of the release says.
PYTHON = """#!/bin/sh
echo "$(basename "$PWD") $*" >>"$LOG"
grep -qx -- "$2" fails 2>/dev/null && exit 1
[ "$2" = jobs ] && echo "worker worker-1: 0 running of 0"
[ "$2" = help ] && exit 1
exit 0
"""
SYSTEMCTL = """#!/bin/sh
[ "$1" = is-failed ] && exit 1
[ "$1" = show ] && echo "${NRESTARTS:-0}" && exit 0
echo "$(basename "$(readlink -f "$TECKEN_HOME/current")") $*" >>"$LOG"
"""
RESTARTS = ["restart tecken-worker@*", "restart tecken-beat.service", "restart tecken-web.service"]


class Host:
    """Directory of releases, and what the scripts did with them."""

    def __init__(self, home: Path, port: int) -> None:
        self.home, self.log = home, home / "log"
        self._port = port
        self.source = home / "source"
        self.source.mkdir()
        (self.source / "manage.py").touch()
        self._program(
            "install",
            f"#!/bin/sh\nmkdir -p $1/.venv/bin\ncp {self._program('python', PYTHON)} $1/.venv/bin/\n",
        )
        self._program("systemctl", SYSTEMCTL)
        (home / "env").write_text("BACKUP_PLACE=/backups\nPASSWORD=a$b c\n")
        (home / "releases").mkdir()

    def _program(self, name: str, text: str) -> Path:
        path = self.home / name
        path.write_text(text)
        path.chmod(0o755)
        return path

    def run(self, script: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        environment = {
            **os.environ,
            "TECKEN_HOME": str(self.home),
            "TECKEN_ENV": str(self.home / "env"),
            "TECKEN_USER": getpass.getuser(),
            "INSTALL_PACKAGES": str(self.home / "install"),
            "SYSTEMCTL": str(self.home / "systemctl"),
            "LOG": str(self.log),
        }
        options = ["--seconds", "0", "--url", f"http://127.0.0.1:{self._port}"]
        command = [str(SCRIPTS / script), *options, *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    def upgrade(self, version: str, *, fails: str = "") -> int:
        (self.source / "fails").write_text(f"{fails}\n")
        return self.run("upgrade", version, str(self.source)).returncode

    def done(self) -> list[str]:
        """Return what was done, without the release."""
        return [
            line.partition(" ")[2].removeprefix("manage.py ") for line in self.log.read_text().splitlines()
        ]

    @property
    def current(self) -> str:
        return (self.home / "current").resolve().name


class Ready(BaseHTTPRequestHandler):
    """A site that is always ready."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with BackgroundServer(ThreadingHTTPServer(("127.0.0.1", 0), Ready)) as server:
        host = Host(tmp_path, server.port)
        assert host.upgrade("1.0.0") == 0
        yield host


def test_upgrade_backs_up_before_it_migrates_and_restarts_afterwards(host: Host) -> None:
    assert host.upgrade("1.1.0") == 0
    assert host.current == "1.1.0"
    done = host.done()
    assert done[:3] == ["check_redis --wait 30", "backup /backups", "migrate --no-input"]
    assert done[3:6] == RESTARTS
    # The former release makes the backup: its database has not been migrated yet.
    assert host.log.read_text().splitlines()[1].startswith("1.0.0 ")


@pytest.mark.parametrize("step", ["check_redis", "migrate"])
def test_upgrade_with_a_failed_step_changes_nothing(host: Host, step: str) -> None:
    assert host.upgrade("1.1.0", fails=step) == 1
    assert host.current == "1.0.0"
    assert not any(line.startswith("restart") for line in host.done())


def test_upgrade_without_a_backup_changes_nothing(host: Host) -> None:
    (host.home / "releases" / "1.0.0" / "fails").write_text("backup\n")
    assert host.upgrade("1.1.0") == 1
    assert host.current == "1.0.0"
    assert "migrate --no-input" not in host.done()


def test_upgrade_to_a_release_without_workers_returns_to_the_former_one(host: Host) -> None:
    assert host.upgrade("1.1.0", fails="jobs") == 2
    assert host.current == "1.0.0"
    restarts = [line for line in host.log.read_text().splitlines() if "restart" in line]
    assert restarts == [*(f"1.1.0 {line}" for line in RESTARTS), *(f"1.0.0 {line}" for line in RESTARTS)]


def test_upgrade_to_the_current_release_is_refused(host: Host) -> None:
    assert host.upgrade("1.0.0") == 1


@pytest.mark.parametrize("version", ["../1", "", "-x", "a b"])
def test_upgrade_to_a_version_that_is_no_name_is_refused(host: Host, version: str) -> None:
    assert host.upgrade(version) == 1


def test_rollback_returns_to_the_release_before(host: Host) -> None:
    host.upgrade("1.1.0")
    assert host.run("rollback").returncode == 0
    assert host.current == "1.0.0"
    assert host.done()[:3] == RESTARTS
    assert "* 1.0.0\n  1.1.0\n" in host.run("rollback", "--list").stdout


def test_rollback_to_a_release_that_is_not_there_is_refused(host: Host) -> None:
    assert host.run("rollback", "0.9.0").returncode == 1
    assert host.current == "1.0.0"


def test_settings_are_read_as_systemd_reads_them(host: Host) -> None:
    shown = host.home / "releases" / "1.0.0" / ".venv" / "bin" / "python"
    shown.write_text('#!/bin/sh\necho "$PASSWORD" >>"$LOG"\n')
    host.upgrade("1.1.0")
    assert "a$b c" in host.log.read_text()
