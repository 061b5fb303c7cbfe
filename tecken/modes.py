"""The named states of a process that serves with something missing; from memory only."""

from __future__ import annotations


def modes() -> tuple[str, ...]:
    return ("ok",)


def text() -> str:
    return ",".join(modes())
