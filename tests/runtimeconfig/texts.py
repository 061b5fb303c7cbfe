"""Strategies for texts of options: valid ones, on and past the bounds, and arbitrary ones."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

from hypothesis import strategies as st

from tecken.errors import BadOption
from tecken.runtimeconfig.option import Option

NOW = datetime(2026, 11, 21, 22, 30, tzinfo=UTC)

SWITCHES = ["on", "off", "true", "False", " 1 ", "maybe"]
LIMITS = st.lists(
    st.sampled_from(["5 requests/minute per address", "1GiB/day per user", "7 frames/hour per token", "5/s"])
).map(", ".join)
names = st.lists(st.text(max_size=10), max_size=4).map(", ".join)


def refusal(function: Callable[..., object], *args: object) -> str:
    """Return the text of a BadOption; empty when none was raised."""
    try:
        function(*args)
    except BadOption as error:
        return str(error)
    return ""


def texts_of(option: Option) -> st.SearchStrategy[str]:
    """Return texts without rollouts and windows."""
    if option.kind == "bool":
        return st.sampled_from(SWITCHES)
    if option.kind == "names":
        return names
    if option.kind == "limits":
        return names | LIMITS
    if option.kind in ("str", "choice"):
        return st.sampled_from([*option.choices, option.default]) | st.text()
    return _numbers(option) | st.sampled_from(["", "ten", "1h 30m", "64MiB"])


def _numbers(option: Option) -> st.SearchStrategy[str]:
    low, high = option.bounds.get("ge", option.bounds.get("gt")), option.bounds["le"]
    inside = st.integers(int(low), int(high))
    return (inside | st.sampled_from([low, high, low - 1, high + 1])).map(str)
