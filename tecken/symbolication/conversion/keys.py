"""Keys and the channel of conversions on redis-cache.

All keys expire. A lost key costs one more conversion and never a wrong result.
"""

from __future__ import annotations

from typing import Final

from tecken.symbols.ids import ModuleKey

REPLACED: Final = "modules:replaced"
"""Channel of invalidations: `<debug file>/<DEBUG ID>` of a module whose symbols have changed."""


def claim(module: ModuleKey) -> str:
    """Return the key of the claim, which exists while a job for the module is in the queue or being done.

    Its value is the key of the client that claimed the module first.
    """
    return f"cold:asked:{module}"


def client(name: str) -> str:
    """Return the key of the set of modules that one client has claimed; see `status`."""
    return f"cold:client:{name}"


def lock(module: ModuleKey) -> str:
    """Return the key of the module's conversion lock."""
    return f"cold:turn:{module}"


def answer(module: ModuleKey) -> str:
    """Return the key of the conversion's result, for the requests that wait."""
    return f"cold:answer:{module}"


def attempts(module: ModuleKey) -> str:
    """Return the key that counts conversions that began and did not end."""
    return f"cold:attempts:{module}"
