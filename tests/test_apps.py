"""Check of the settings by `manage.py check --deploy`."""

from __future__ import annotations

import os
import subprocess
import sys

from django.conf import LazySettings
from django.core import checks

from tecken.apps import check_settings
from tecken.settings import BASE_DIR

UNSET = {"REDIS_URL": "", "REDIS_STORE_URL": "", "SECRET_KEY": "k" * 8}


def manage(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "manage.py", *arguments]
    environment = {**os.environ, **UNSET}
    return subprocess.run(
        command, cwd=BASE_DIR, env=environment, capture_output=True, text=True, check=False, timeout=120
    )


def test_check_settings_without_redis_url_returns_an_error(settings: LazySettings) -> None:
    settings.REDIS_URL = ""
    [message] = check_settings()
    assert isinstance(message, checks.Error)
    assert (message.id, message.msg) == ("tecken.E01", "REDIS_URL environment variable is required")


def test_check_settings_of_a_demo_returns_warnings(settings: LazySettings) -> None:
    settings.DEMO_MODE = True
    assert [(type(message), message.id) for message in check_settings()] == [
        (checks.Warning, "tecken.W14"),
        (checks.Warning, "tecken.W14"),
    ]


def test_manage_check_of_a_deployment_reports_problems_of_the_settings() -> None:
    done = manage("check", "--deploy")
    assert done.returncode == 1
    assert "redis-store: (tecken.E01) REDIS_STORE_URL environment variable is required" in done.stderr


def test_manage_check_without_redis_url_succeeds() -> None:
    assert manage("check").returncode == 0
