from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from run import engine, stack


def test_engine_build_without_cargo_says_that_it_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SystemExit, match="the engine is optional"):
        engine.main()


def test_engine_install_replaces_the_file(tmp_path: Path) -> None:
    built, target = tmp_path / "built", tmp_path / "target"
    for content in (b"old", b"new"):
        built.write_bytes(content)
        engine.install(built, target)
    assert target.read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["built", "target"]


def test_engine_build_installs_the_module_and_the_program(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    commands: list[tuple[str, ...]] = []

    def build(command: tuple[str, ...], **_: object) -> subprocess.CompletedProcess[bytes]:
        commands.append(command)
        return subprocess.CompletedProcess(command, 0)

    built = tmp_path / "built" / "release"
    built.mkdir(parents=True)
    for name in (engine.LIBRARY_NAMES.get(sys.platform, "libtecken_engine.so"), "tecken-dump"):
        (built / name).write_bytes(name.encode())
    (built / "tecken-dump").chmod(0o755)
    monkeypatch.setattr("shutil.which", lambda _: "cargo")
    monkeypatch.setattr(subprocess, "run", build)
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    monkeypatch.setattr(engine, "TARGET", tmp_path / "built")
    engine.main()
    assert [command[:2] for command in commands] == [("cargo", "build")]
    assert "--workspace" in commands[0]
    assert (tmp_path / "tecken_engine.abi3.so").read_bytes().startswith(b"libtecken_engine")
    assert os.access(tmp_path / "tecken-dump", os.X_OK)


def test_make_run_mentions_make_engine_only_where_it_is_not_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    line = stack.describe_engine()
    assert "make engine" in line
    assert line.count("\n") == 1
    (tmp_path / "tecken-dump").touch()
    assert stack.describe_engine() == ""
