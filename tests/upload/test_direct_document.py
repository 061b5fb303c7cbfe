"""The commands for protocol v2 in docs/upload.md work."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tecken.settings import BASE_DIR
from tests.upload.uploaders import SAMPLES, SYM, SYM_KEY, Makes, stored

pytest_plugins = ["tests.upload.site"]
SECTION = (BASE_DIR / "docs" / "upload.md").read_text().partition("\n## Protocol v2")[2]


@pytest.mark.django_db(transaction=True)
def test_upload_document_protocol_v2_commands_upload_a_file(
    live_server: LiveServer, uploader: Makes, tmp_path: Path
) -> None:
    block = re.findall(r"```console\n(.*?)```", SECTION, re.DOTALL)[0]
    script = re.sub(r"^\$ ", "", block, flags=re.MULTILINE)
    environment = {"SITE": live_server.url, "TOKEN": uploader().key, "SYMBOLS": str(SAMPLES)}
    subprocess.run(
        ["bash", "-ec", script], cwd=tmp_path, env={**os.environ, **environment}, timeout=60, check=True
    )
    assert stored(SYM_KEY) == SYM
