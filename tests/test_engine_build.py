from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from run import engine


def test_engine_build_without_cargo_says_that_it_is_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shutil.which", lambda _: None)
    with pytest.raises(SystemExit, match="the engine is optional"):
        engine.main()


def test_engine_install_replaces_the_module(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sysconfig, "get_path", lambda _: str(tmp_path))
    for content in (b"old", b"new"):
        library = tmp_path / "libtecken_engine.so"
        library.write_bytes(content)
        engine.install(library)
    assert (tmp_path / "tecken_engine.abi3.so").read_bytes() == b"new"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "libtecken_engine.so",
        "tecken_engine.abi3.so",
    ]
