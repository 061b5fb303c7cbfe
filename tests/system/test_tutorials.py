"""The commands of docs/tutorials, on a site of their own."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import httpx
import pytest

from tests.system.site import ROOT, Site

pytestmark = pytest.mark.xdist_group("tutorials")  # all tests share a site

TUTORIALS = ROOT / "docs" / "tutorials"
NEEDED = {
    "c": ("cc", "objcopy", "readelf"),
    "cpp": ("c++", "objcopy", "readelf"),
    "rust": ("rustc", "objcopy", "readelf"),
    "go": ("go", "objcopy", "readelf"),
    "windows": ("clang", "lld-link"),
    "macos": ("clang", "lld", "dsymutil"),
    "android": ("clang", "ld.lld", "llvm-objcopy", "readelf"),
    "electron": ("cc", "objcopy", "readelf", "node"),
}
# Seconds. The first build of a machine compiles the standard library of Go.
BUILT_WITHIN, CONVERTED_WITHIN = 300.0, 60.0


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Site, dict[str, str]]]:
    """A site, and the environment of a client of it."""
    home = tmp_path_factory.mktemp("site")
    programs = home / "bin"
    programs.mkdir()
    program = programs / "tecken-upload"
    file = home / "tecken-upload.pyz"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} {file} "$@"\n')
    program.chmod(0o755)
    with Site(home) as site:
        file.write_bytes(httpx.get(f"{site.url}/tecken-upload.pyz").content)
        permission = ("--permission", "upload.upload_symbols", "--create-user")
        token = site.manage("createtoken", "ci@example.com", *permission).strip()
        paths = f"{programs}:{os.environ['PATH']}"
        yield site, {**os.environ, "TECKEN_URL": site.url, "TECKEN_TOKEN": token, "PATH": paths}


@pytest.mark.parametrize("tutorial", NEEDED)
def test_tutorial_commands_symbolicate_the_stack(
    site: tuple[Site, dict[str, str]], tutorial: str, tmp_path: Path
) -> None:
    if lacking := [program for program in NEEDED[tutorial] if not shutil.which(program)]:
        pytest.skip(f"{', '.join(lacking)} is not installed")
    running, environment = site
    document = (TUTORIALS / f"{tutorial}.md").read_text()
    name, source = re.findall(r"^`(crash\.\w+)`:\n\n```\w+\n(.*?)```", document, re.DOTALL | re.MULTILINE)[0]
    (tmp_path / name).write_text(source)
    for command, expected in commands(document):
        run(command, expected, tmp_path, environment)
    (expected,) = re.findall(r"```text\n(.*?)```", document, re.DOTALL)
    pattern = "*" + "*".join(f"{line}\n" for line in expected.splitlines()) + "*"
    report = (tmp_path / "report.txt").read_text()
    text = symbolicate(running, report, expected.count("\n"))
    assert is_like(text, pattern), text
    text = httpx.post(f"{running.url}/symbolicate/text", content=report, timeout=60).text
    assert is_like(text, pattern), text


def commands(document: str) -> Iterator[tuple[str, str]]:
    """Yield each command with its output, in which `*` stands for anything."""
    for block in re.findall(r"```console\n(.*?)```", document, re.DOTALL):
        yield from re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE)


def is_like(text: str, expected: str) -> bool:
    """Return whether a text is the expected one, in which `*` stands for anything."""
    return fnmatchcase(text, expected.replace("[", "[[]"))


def run(command: str, expected: str, folder: Path, environment: dict[str, str]) -> None:
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=BUILT_WITHIN,
        check=False,
    )
    # The program itself ends with an error, after it has printed its stack.
    assert done.returncode == 0 or command.startswith("./crash"), (command, done.stderr)
    assert not expected or is_like(done.stdout, expected), (command, done.stdout)


def symbolicate(site: Site, text: str, calls: int) -> str:
    """Paste a report until its module is converted, and return the page's plain text."""
    deadline = time.monotonic() + CONVERTED_WITHIN
    with httpx.Client(base_url=site.url, timeout=60) as browser:
        browser.get("/symbolicate/")
        form = {"text": text, "csrfmiddlewaretoken": browser.cookies["csrftoken"]}
        while True:
            page = browser.post("/symbolicate/", data=form)
            assert page.status_code == 200, page.text
            plain = plain_text(page.text)
            if plain.count("!") >= calls or time.monotonic() > deadline:
                return plain
            time.sleep(0.5)


def plain_text(page: str) -> str:
    (text,) = re.findall(r'<textarea id="plain"[^>]*>\n(.*?)</textarea>', page, re.DOTALL)
    return html.unescape(text)
