"""Every key of the store; all spellings of a module's name share them.

`:1:` is what django-redis writes before a key of version 1.
"""

from __future__ import annotations

from tecken.store.port import PageKey
from tecken.symbols.ids import ObjectId


def header(module: ObjectId) -> str:
    return f":1:symbol:{module.key}"


def page(key: PageKey) -> str:
    return f":1:symbol:{key.module.key}/{key.generation}/{key.page}"


def missing(module: ObjectId) -> str:
    return f":1:missing:{module.key}"


def is_symbol(key: bytes) -> bool:
    """Of a header or a page."""
    return key.startswith(b":1:symbol:")


def is_header(key: bytes) -> bool:
    """Return whether a key is of a header, not a page, which has a generation and a number more.

    Neither a debug file name nor an id has a slash; a module of try builds has a scope before them.
    """
    return key.count(b"/") in (1, 2)
