from __future__ import annotations

import logging

import pytest

from tecken.logs import ConfigVersion
from tecken.runtimeconfig import current
from tecken.runtimeconfig.shelf import Change


@pytest.fixture(autouse=True)
def afresh() -> None:
    current.forget()


def told() -> int:
    record = logging.makeLogRecord({})
    assert ConfigVersion().filter(record)
    version: int = record.config_version  # type: ignore[attr-defined]
    return version


def test_a_line_in_the_log_tells_what_is_in_force_for_whatever_it_is_about() -> None:
    before = current.state().version
    with current.pinned():
        current.shelf().write(Change(before + 1, "s", "ada", "", "", "cli"), {}, before)
        assert told() == before
    assert told() == before + 1


def test_what_is_logged_before_anything_is_read_has_one_too() -> None:
    assert told() == 0
