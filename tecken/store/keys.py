"""Names of all keys of the store; all spellings of a module's name share them.

django-redis writes `:1:` before a key of version 1.
"""

from __future__ import annotations

from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId


def header(module: ObjectId) -> str:
    """Return the key of a header."""
    return f":1:symbol:{module.key}"


def page(key: PageKey) -> str:
    """Return the key of a page."""
    return f":1:symbol:{key.module.key}/{key.generation}/{key.page}"


def missing(module: ObjectId) -> str:
    """Return the key of a missing marker."""
    return f":1:missing:{module.key}"


def is_symbol(key: bytes) -> bool:
    """Return whether a key is that of a header or a page."""
    return key.startswith(b":1:symbol:")


def is_header(key: bytes) -> bool:
    """Return whether a key of a symbol is that of a header.

    The key of a page has a generation and a number besides. Neither a debug file nor an id has a slash. The
    key of a module of try builds begins with a scope.
    """
    return key.count(b"/") in (1, 2)
