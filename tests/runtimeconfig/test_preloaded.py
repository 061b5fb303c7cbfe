"""A server that loads the site and then forks."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

LOADED = """
import sys, django
django.setup()
from tecken.runtimeconfig import current
current._reconcile = lambda: True
current.set_kind("web")
current.start()
print("tecken.runtimeconfig.service" in sys.modules)
"""


def test_app_ready_imports_everything_before_threads_start(tmp_path: Path) -> None:
    """An import lock that is held during a fork is never released in the child."""
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tecken.settings",
        "RUNTIME_CONFIG_WATCHER": "file",
        "RUNTIME_CONFIG_FILE": str(tmp_path / "config.json"),
    }
    result = subprocess.run(
        [sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True
    )
    assert result.stdout == "True\n"
