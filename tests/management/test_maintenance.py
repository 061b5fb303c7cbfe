from __future__ import annotations

import getpass
import io
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError

from tecken.runtimeconfig import current
from tecken.runtimeconfig.backend import parse_maintenance
from tecken.settings import BASE_DIR
from tests.runtimeconfig.backends import MemoryBackend, UnreachableBackend
from tests.support.redis_server import free_port

ME = getpass.getuser()


@pytest.fixture
def backend(monkeypatch: pytest.MonkeyPatch) -> MemoryBackend:
    mine = MemoryBackend()
    monkeypatch.setattr(current, "backend", lambda: mine)
    return mine


def maintenance(*args: str) -> str:
    """Run the command and return its output. Without the mark django_db a query would fail."""
    printed = io.StringIO()
    call_command("maintenance", *args, stdout=printed, stderr=io.StringIO(), no_color=True)
    return printed.getvalue()


def test_maintenance_on_status_off_print_the_state(backend: MemoryBackend) -> None:
    assert maintenance("status") == "no maintenance\n"
    printed = maintenance("on", "--message", "New disks.", "--retry-after", "5m", "--until", "2126-01-01")
    lines = printed.splitlines()
    assert lines[0] == "the site is under maintenance until 2126-01-01 00:00:00 UTC"
    assert lines[1].startswith(f"  since {datetime.now(UTC):%Y}")
    assert lines[1].endswith(f" UTC by {ME}")
    assert lines[2:] == ["  message: New disks.", "  retry after 300 s"]
    assert maintenance("status") == printed
    assert maintenance("off") == "no maintenance\n"
    assert backend.head().maintenance is None


def test_maintenance_on_without_until_has_no_end(backend: MemoryBackend) -> None:
    assert maintenance("on").splitlines()[0] == "the site is under maintenance until `maintenance off`"


def test_maintenance_on_again_changes_the_message(backend: MemoryBackend) -> None:
    maintenance("on", "--until", "10m")
    maintenance("on", "--message", "It takes longer.")
    text = backend.head().maintenance
    assert text is not None
    assert parse_maintenance(text)[:3] == ("It takes longer.", None, None)


def test_maintenance_uploads_only_closes_uploads(backend: MemoryBackend) -> None:
    printed = maintenance("on", "--uploads-only")
    assert printed.startswith(
        "uploads are closed, downloads and symbolication open until `maintenance off`\n"
    )
    assert backend.head().maintenance is None
    maintenance("on")
    assert len([line for line in maintenance("status").splitlines() if " until " in line]) == 2
    assert maintenance("off", "--uploads-only").startswith("the site is under maintenance")
    maintenance("on", "--uploads-only")
    assert maintenance("off") == "no maintenance\n"


@pytest.mark.parametrize("text", ["x", "", "0"])
def test_maintenance_set_by_hand_is_shown_as_such(backend: MemoryBackend, text: str) -> None:
    backend.set_maintenance("full", text, None)
    assert maintenance("status") == ("the site is under maintenance until `maintenance off`\n  set by hand\n")


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (("--until", "soon"), r"--until: 'soon' should be a time \(UTC\)"),
        (("--until", "2020-01-01"), "should end in the future"),
        (("--retry-after", "soon"), "--retry-after: 'soon' should be a duration"),
    ],
)
def test_maintenance_invalid_arguments_fail_with_one_line(
    backend: MemoryBackend, args: tuple[str, ...], text: str
) -> None:
    with pytest.raises(CommandError, match=text):
        maintenance("on", *args)
    assert backend.head().maintenance is None


def test_maintenance_unreachable_backend_fails_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(current, "backend", UnreachableBackend)
    for command in ("on", "off", "status"):
        with pytest.raises(CommandError, match="does not answer"):
            maintenance(command)


@pytest.mark.parametrize("watcher", ["redis", "file"])
def test_maintenance_without_a_database_succeeds(
    tmp_path: Path, clear_redis_cache: None, watcher: str
) -> None:
    """A whole process, whose database refuses every connection."""
    environment = os.environ | {
        "DATABASE_URL": f"postgres://nobody@127.0.0.1:{free_port()}/none",
        "RUNTIME_CONFIG_WATCHER": watcher,
        "RUNTIME_CONFIG_FILE": str(tmp_path / "config.json"),
    }
    for args, said in (("on", "under maintenance"), ("status", f"by {ME}"), ("off", "no maintenance")):
        command = [sys.executable, "manage.py", "maintenance", args]
        done = subprocess.run(
            command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=60
        )
        assert done.returncode == 0, done.stderr
        assert said in done.stdout
