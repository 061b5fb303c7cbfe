"""The client as one file, over HTTP."""

from __future__ import annotations

import ast
import tomllib
from io import BytesIO
from pathlib import Path
from zipfile import ZipFile

import pytest
from django.test import Client

from tecken.settings import BASE_DIR
from tecken.upload import program

MAX_BYTES = 1 << 20


def test_program_is_sent_as_a_file(client: Client) -> None:
    reply = client.get("/tecken-upload.pyz")
    assert reply.status_code == 200
    assert reply["Content-Type"] == "application/zip"
    assert reply["Content-Disposition"] == 'attachment; filename="tecken-upload.pyz"'
    assert reply["Content-Length"] == str(len(reply.content))
    assert reply["Cache-Control"] == "public, max-age=300"
    assert reply.content.startswith(b"#!/usr/bin/env python3\nPK")
    assert len(reply.content) < MAX_BYTES


def test_program_is_not_sent_again_to_a_client_that_has_it(client: Client) -> None:
    etag = client.get("/tecken-upload.pyz")["ETag"]
    reply = client.get("/tecken-upload.pyz", headers={"if-none-match": etag})
    assert (reply.status_code, reply.content, reply["ETag"]) == (304, b"", etag)


def test_program_head_has_the_length_alone(client: Client) -> None:
    reply = client.head("/tecken-upload.pyz")
    assert (reply.status_code, reply.content) == (200, b"")
    assert int(reply["Content-Length"]) > 100_000


def test_program_refuses_other_methods(client: Client) -> None:
    assert client.post("/tecken-upload.pyz").status_code == 405


def test_program_is_the_same_in_each_process() -> None:
    assert program.build(BASE_DIR) == program.build(BASE_DIR)


def test_program_has_no_compiled_file_and_the_licence_of_each_package() -> None:
    with ZipFile(BytesIO(program.build(BASE_DIR))) as archive:
        names = archive.namelist()
    assert [name for name in names if name.endswith((".so", ".pyd", ".dll", ".pyc"))] == []
    packages = {name.split("/")[0] for name in names if "/" in name and "dist-info" not in name} - {"tecken"}
    licensed = {name.split("-")[0] for name in names if "LICEN" in name and "/" in name}
    assert packages <= licensed
    assert "LICENSE" in names


def test_program_without_a_required_package_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "client").mkdir()
    text = (BASE_DIR / "client" / "pyproject.toml").read_text()
    (tmp_path / "client" / "pyproject.toml").write_text(text.replace('"httpx~', '"not-installed~'))
    (tmp_path / "LICENSE").touch()
    with pytest.raises(ModuleNotFoundError, match="not-installed"):
        program.build(tmp_path)


def test_program_starts_with_code_of_any_python_3() -> None:
    ast.parse(program.MAIN, feature_version=(3, 4))
    required = tomllib.loads((BASE_DIR / "client" / "pyproject.toml").read_text())["project"][
        "requires-python"
    ]
    assert required == ">=3.11"
    assert "(3, 11)" in program.MAIN
