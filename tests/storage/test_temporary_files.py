"""Files without a name on file systems that do and do not have them."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from tecken.storage.disk import nameless


def fail_to_open(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    """Make the system refuse to open any file, for the cause that has this number."""

    def refuse(path: Path, flags: int, mode: int) -> int:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(os, "open", refuse)


@pytest.mark.parametrize("number", [errno.EOPNOTSUPP, errno.EISDIR, errno.EINVAL])
def test_nameless_unsupported_by_the_file_system_returns_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    with monkeypatch.context() as patched:
        fail_to_open(patched, number)
        file = nameless(tmp_path / "new")
    assert file is None
    assert (tmp_path / "new").is_dir()


def test_nameless_full_disk_raises(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patched:
        fail_to_open(patched, errno.ENOSPC)
        with pytest.raises(OSError, match="No space left"):
            nameless(tmp_path)
