"""Every key this package has on redis-cache. All expire: losing one costs a conversion, never an answer."""

from __future__ import annotations

from typing import Final

from tecken.symbols.ids import ObjectId

REPLACED: Final = "modules:replaced"
"""A channel: the key of a module whose symbols are other ones now."""


def asked(module: ObjectId) -> str:
    """A worker was asked and has not answered; waiting requests see it and do not ask again.

    Its value is the key of the client that asked first.
    """
    return f"cold:asked:{module.key}"


def client(name: str) -> str:
    """Modules that one client has asked for and that are not answered; see `board`."""
    return f"cold:client:{name}"


def turn(module: ObjectId) -> str:
    """Held by the one who converts the module now."""
    return f"cold:turn:{module.key}"


def answer(module: ObjectId) -> str:
    """What came of it, for those who wait."""
    return f"cold:answer:{module.key}"


def attempts(module: ObjectId) -> str:
    """Conversions that were begun and did not end."""
    return f"cold:attempts:{module.key}"
