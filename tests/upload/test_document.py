"""The commands in docs/upload.md print the documented output."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest
from pytest_django.live_server_helper import LiveServer

from tecken.settings import BASE_DIR
from tests.upload.uploaders import SAMPLES, Makes

pytest_plugins = ["tests.upload.site"]
DOC = (BASE_DIR / "docs" / "upload.md").read_text().split("\n## Protocol v2")[0]
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)


@pytest.mark.django_db(transaction=True, reset_sequences=True)
def test_upload_document_commands_print_the_documented_output(
    live_server: LiveServer, uploader: Makes, tmp_path: Path
) -> None:
    environment = {
        **os.environ,
        "SITE": live_server.url,
        "TOKEN": uploader().key,
        "SYMBOLS": str(SAMPLES),
    }
    steps = [
        step
        for block in re.findall(r"```console\n(.*?)```", DOC, re.DOTALL)
        for step in COMMAND.findall(block)
    ]
    assert len(steps) == 6
    for command, expected in steps:
        done = subprocess.run(
            ["bash", "-c", command],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        pattern = re.escape(expected.strip()).replace(r"\*", ".*")
        assert re.fullmatch(pattern, done.stdout.strip(), re.DOTALL), (command, done.stdout)
