"""`/tecken-upload.pyz`: the client as one file that any Python from 3.11 on runs.

The file is a zip of this site's own modules and of the packages that the client needs, as they are installed
here, so it is made without a network. `client/pyproject.toml` lists both. Compiled packages are left out, so
the file runs on every system; the client does without them. Equal installations make the same bytes, so that
every process has one ETag.

Source: Python documentation, `zipapp`.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.metadata import PackageNotFoundError, distribution
from io import BytesIO
from pathlib import Path, PurePosixPath
from typing import Final, NamedTuple
from zipfile import ZIP_DEFLATED, ZipFile, ZipInfo

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.views.decorators.cache import cache_control
from django.views.decorators.http import etag, require_safe

from tecken.http.responses import render_errors

FIRST_LINE: Final = b"#!/usr/bin/env python3\n"
# Valid in every Python 3, so that an old one prints this and no SyntaxError.
MAIN: Final = """\
import sys

if sys.version_info < (3, 11):
    sys.exit("tecken-upload needs Python 3.11 or newer, and this is " + sys.version.split()[0])

from tecken.client.__main__ import main

sys.exit(main())
"""
REQUIREMENT: Final = re.compile(r"[A-Za-z0-9._-]+")
COMPILED: Final = tuple(EXTENSION_SUFFIXES)
CACHED_SECONDS: Final = 300


class Program(NamedTuple):
    """Content of the file, and its ETag."""

    content: bytes
    etag: str


@cache
def program() -> Program:
    """Return the file, which is made once in each process."""
    content = build(Path(settings.BASE_DIR))
    return Program(content, f'"{hashlib.sha256(content).hexdigest()[:32]}"')


@render_errors
@require_safe
@cache_control(public=True, max_age=CACHED_SECONDS)
@etag(lambda _request: program().etag)
def send_program(_request: HttpRequest) -> HttpResponseBase:
    """Send the client as one file."""
    content = program().content
    headers = {
        "Content-Type": "application/zip",
        "Content-Length": str(len(content)),
        "Content-Disposition": 'attachment; filename="tecken-upload.pyz"',
        "X-Content-Type-Options": "nosniff",
    }
    return HttpResponse(content, headers=headers)


def build(root: Path) -> bytes:
    """Return the file from a checkout and from the packages that are installed beside it.

    Raises:
        PackageNotFoundError: A package that the client requires itself is not installed.
        OSError: A file of them is not there.
    """
    project = tomllib.loads((root / "client" / "pyproject.toml").read_text())
    files = {"__main__.py": MAIN.encode(), "LICENSE": (root / "LICENSE").read_bytes()}
    files |= _read_packages(project["project"]["dependencies"])
    files |= _read_modules(root, project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"])
    with BytesIO(FIRST_LINE) as out:
        out.seek(len(FIRST_LINE))
        with ZipFile(out, "w", ZIP_DEFLATED) as archive:
            for name, content in sorted(files.items()):
                # Without the time of the file, so that two hosts have the same bytes.
                archive.writestr(ZipInfo(name), content, ZIP_DEFLATED)
        return out.getvalue()


def _read_modules(root: Path, included: dict[str, str]) -> Iterator[tuple[str, bytes]]:
    """Yield the client's own modules, by the paths that they are imported from."""
    for source, target in included.items():
        path = root / "client" / source
        for file in sorted(path.rglob("*.py")) if path.is_dir() else [path]:
            yield (PurePosixPath(target) / file.relative_to(path).as_posix()).as_posix(), file.read_bytes()


def _read_packages(requirements: list[str]) -> Iterator[tuple[str, bytes]]:
    """Yield the files of packages and of those that they require, with their licences."""
    seen: set[str] = set()
    waiting = [_name(requirement) for requirement in requirements]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        package = distribution(name)
        files = package.files or []
        if any(file.name.endswith(COMPILED) for file in files):
            continue
        waiting += _find_installed(package.requires or [])
        yield from ((file.as_posix(), file.read_binary()) for file in files if _is_needed(file))


def _find_installed(requirements: list[str]) -> Iterator[str]:
    """Yield the required packages that are installed; the others are for other systems or older Pythons."""
    for requirement in requirements:
        if "extra ==" not in requirement and _is_installed(_name(requirement)):
            yield _name(requirement)


def _is_installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True


def _name(requirement: str) -> str:
    match = REQUIREMENT.match(requirement)
    assert match, requirement
    return match[0].lower()


def _is_needed(file: PurePosixPath) -> bool:
    """Return whether a file of a package is a module, data of one, or the licence."""
    first = file.parts[0]
    if first == ".." or "__pycache__" in file.parts:
        return False
    # Other metadata depends on the installer.
    return not first.endswith(".dist-info") or "LICEN" in file.name.upper()
