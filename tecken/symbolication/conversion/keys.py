"""Keys and the channel of conversions on redis-cache.

All keys expire. A lost key costs one more conversion and never a wrong result.
"""

from __future__ import annotations

from typing import Final

from tecken.symbols.ids import ObjectId

REPLACED: Final = "modules:replaced"
"""Channel of invalidations: the key of a module whose symbols have changed."""

ANSWERED: Final = "modules:answered"
"""Channel of results: the key of a module for which waiting requests find something new."""


def claim(module: ObjectId) -> str:
    """Return the key of the claim, which exists while a job for the module is in the queue or being done.

    Its value is the key of the client that claimed the module first.
    """
    return f"cold:asked:{module.key}"


def client(name: str) -> str:
    """Return the key of the set of modules that one client has claimed; see `status`."""
    return f"cold:client:{name}"


def lock(module: ObjectId) -> str:
    """Return the key of the module's conversion lock."""
    return f"cold:turn:{module.key}"


def answer(module: ObjectId) -> str:
    """Return the key of the conversion's result, for the requests that wait."""
    return f"cold:answer:{module.key}"


def attempts(module: ObjectId) -> str:
    """Return the key that counts conversions that began and did not end."""
    return f"cold:attempts:{module.key}"


def wanted(module: ObjectId) -> str:
    """Return the key of the set of offsets that requests wait for."""
    return f"cold:wanted:{module.key}"


def scanned(module: ObjectId) -> str:
    """Return the key that exists while early frames are published; its value is the module's code file."""
    return f"cold:scanned:{module.key}"


def frames(module: ObjectId) -> str:
    """Return the key of the hash of early frames by offset."""
    return f"cold:frames:{module.key}"


def revision(module: ObjectId) -> str:
    """Return the key that counts changes of the module's symbols."""
    return f"cold:revision:{module.key}"


def renewal(module: ObjectId) -> str:
    """Return the key that exists while a job that renews the module's page file need not be sent again."""
    return f"cold:renewal:{module.key}"
