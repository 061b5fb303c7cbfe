"""The commands of docs/tokens.md do what it says."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from django.contrib.auth.models import Group, Permission
from pytest_django.live_server_helper import LiveServer

from tecken.accounts.tokens import permission_name
from tecken.settings import BASE_DIR
from tests.accounts import people

TEXT = (BASE_DIR / "docs" / "tokens.md").read_text()
COMMANDS = re.findall(r"^\$ python (manage\.py .*)$", TEXT, re.MULTILINE)


def run(database: Path, *arguments: str) -> str:
    environment = {
        **os.environ,
        "DATABASE_URL": f"sqlite:///{database}",
        "DJANGO_SUPERUSER_PASSWORD": "for tests",
    }
    command = [sys.executable, *arguments]
    done = subprocess.run(command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_documented_commands_succeed(tmp_path: Path) -> None:
    database = tmp_path / "db"
    run(database, "manage.py", "migrate", "--verbosity", "0")
    create_token, create_superuser = map(shlex.split, COMMANDS)
    assert re.fullmatch(r"[0-9a-f]{64}\n", run(database, *create_token))
    run(database, *create_superuser, "--noinput")


@pytest.mark.django_db(transaction=True)
def test_documented_request_returns_the_permission_of_the_token(live_server: LiveServer) -> None:
    (command,) = re.findall(r"^\$ (curl .*)$", TEXT, re.MULTILINE)
    token = people.key("upload.upload_symbols", email="build@example.com")
    script = command.replace("http://localhost:8000", live_server.url)
    environment = {**os.environ, "TOKEN": f"{token}-nightly"}
    said = json.loads(subprocess.check_output(["bash", "-ec", script], env=environment, timeout=60))
    assert (said["email"], said["permission"]) == ("build@example.com", "upload.upload_symbols")


@pytest.mark.django_db
def test_documented_permissions_and_groups_exist() -> None:
    documented = set(re.findall(r"^\| `(\w+\.\w+)` \|", TEXT, re.MULTILINE))
    assert documented <= set(map(permission_name, Permission.objects.select_related("content_type")))
    for group in Group.objects.all():
        assert f"**{group.name}**" in TEXT
        assert set(map(permission_name, group.permissions.all())) <= documented
