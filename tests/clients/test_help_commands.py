"""The commands of docs/help as a reader runs them: on a site with a directory, and on one with a bucket."""

from __future__ import annotations

import gzip
import json
import os
import re
import subprocess
from contextlib import nullcontext
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any

import pytest
from django.core.management import call_command
from pytest_django.live_server_helper import LiveServer

from tecken import services
from tecken.settings import BASE_DIR
from tests.support.s3_server import S3Bucket
from tests.symbolication.crash_dumps.jobs import core_file, crash_dump, working
from tests.web.api.people import key_of, person

pytest_plugins = ["tests.support.upstreams"]
pytestmark = pytest.mark.usefixtures("clear_redis_store")

# A crash whose frames are in the samples.
CRASH = BASE_DIR / "tests" / "symbolication" / "crash_reports" / "texts" / "asan.txt"
SAMPLES = BASE_DIR / "tests" / "data" / "samples"
# Programs that a machine with the tests may lack: their lines are left out.
ELSEWHERE = ("minidump_stackwalk",)
BLOCKS = [
    (document.stem, block)
    for document in sorted((BASE_DIR / "docs" / "help").glob("*.md"))
    for block in re.findall(r"```sh\n(.*?)```", document.read_text(), re.DOTALL)
    if "curl" in block
]


@pytest.fixture(params=["directory", "bucket"])
def site(request: pytest.FixtureRequest, live_server: LiveServer, tmp_path: Path, settings: Any) -> Any:
    """Run a site with the samples. Return its address."""
    if request.param == "bucket":
        bucket: S3Bucket = request.getfixturevalue("s3_bucket")
        settings.STORAGE_URL = f"s3://{bucket.name}/symbols"
    else:
        settings.STORAGE_URL = (tmp_path / "storage").as_uri()
    services.discard_all()
    call_command("symbols", "add", str(SAMPLES))
    yield live_server.url
    services.discard_all()


@pytest.mark.parametrize(("page", "block"), BLOCKS, ids=[page for page, _block in BLOCKS])
def test_commands_of_a_help_page_succeed(page: str, block: str, site: str, tmp_path: Path) -> None:
    build = tmp_path / "build" / "symbols"
    copytree(SAMPLES, build, ignore=ignore_patterns("stack.json"))
    lines = [line for line in block.splitlines() if not line.startswith(ELSEWHERE)]
    script = "set -euo pipefail\n" + "\n".join(lines).replace("https://symbols.example.com", site)
    key = key_of(person("me@example.com", "upload.upload_symbols"))
    script = script.replace("TECKEN_TOKEN=...", f"TECKEN_TOKEN={key}")
    (tmp_path / "crash.txt").write_text(CRASH.read_text())
    (tmp_path / "crash.dmp").write_bytes(crash_dump())
    (tmp_path / "core").write_bytes(core_file())
    (tmp_path / "crash.dmp.gz").write_bytes(gzip.compress(crash_dump()))
    with working() if page == "minidumps" else nullcontext():
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=tmp_path,
            env={**os.environ, "TECKEN_TOKEN": key},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr + done.stdout
    if page == "minidumps":
        assert "by_price" in done.stdout
    if "crash.txt" in block:
        assert "crash-c!by_price [/build/crash/src/crash.c:25]" in done.stdout
    elif page == "symbolicate":
        text = (BASE_DIR / "docs" / "help" / "symbolicate.md").read_text()
        [answer] = re.findall(r"```json\n(.*?)```", text, re.DOTALL)
        assert json.loads(done.stdout) == json.loads(answer)
    if page == "stackwalk":
        [file] = (tmp_path / "symbols").rglob("*.sym")
        assert file.read_bytes() == (SAMPLES / file.relative_to(tmp_path / "symbols")).read_bytes()


def test_interrupted_download_is_resumed(site: str, tmp_path: Path) -> None:
    """The second command of the page, when the first of its lines was cut off in the middle."""
    [block] = [block for page, block in BLOCKS if page == "stackwalk" and "-C -" in block]
    script = block.replace("https://symbols.example.com", site)
    cut = script.replace("curl ", "curl -r 0-199 ", 1).replace("-C - ", "").partition("gunzip")[0]
    for commands in (cut, script):
        subprocess.run(["bash", "-euc", commands], cwd=tmp_path, check=True, timeout=60)
    [file] = (tmp_path / "symbols").rglob("*.sym")
    assert file.read_bytes() == (SAMPLES / file.relative_to(tmp_path / "symbols")).read_bytes()
