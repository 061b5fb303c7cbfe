"""The first look of `make run`."""

from __future__ import annotations

from run import tour
from tests.support.redis_server import free_port


def test_box_with_a_new_account_shows_its_password() -> None:
    assert "admin / swordfish   (shown only now)" in "".join(tour.show_box("http://127.0.0.1:1", "swordfish"))


def test_box_later_shows_how_to_reset_the_password() -> None:
    assert "make admin sets a new password" in "".join(tour.show_box("http://127.0.0.1:1", ""))


def test_sample_without_a_server_says_why() -> None:
    [line] = tour.show_sample(f"http://127.0.0.1:{free_port()}")
    assert "was not symbolicated: " in line
    assert "Connection refused" in line


def test_stack_shows_frames_with_functions_only() -> None:
    frames = [
        {"frame": 0, "module": "a.so", "module_offset": "0x1"},
        {"frame": 1, "module": "a.so", "function": "main", "file": "/b/src/a.c", "line": 7},
    ]
    [_title, line] = tour.show_stack({"results": [{"stacks": [frames]}]})
    assert line.split() == ["1", "main", "b/src/a.c:7"]
