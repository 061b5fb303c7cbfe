"""Postfix expressions, in which STACK records say how to compute a register."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

# Words of the rules of a place, or of one program. Compilers need less than 100; a record may have 256 KiB.
MAX_WORDS: Final = 500

_INTEGER: Final = re.compile(r"[+-]?[0-9]{1,20}", re.ASCII)


def _align(left: int, right: int) -> int | None:
    # A power of two has one bit.
    return left & -right if right and not right & right - 1 else None


OPERATORS: Final[Mapping[str, Callable[[int, int], int | None]]] = {
    "+": int.__add__,
    "-": int.__sub__,
    "*": int.__mul__,
    "/": lambda left, right: left // right if right else None,
    "%": lambda left, right: left % right if right else None,
    "@": _align,
}
"""Operators with two operands, which are not negative. The result is None for a division by zero."""


def parse_integer(word: str, bits: int) -> int | None:
    """Return a signed decimal number of so many bits, as an unsigned one; None for other words."""
    if not _INTEGER.fullmatch(word):
        return None
    number = int(word)
    return number & (1 << bits) - 1 if -(1 << bits - 1) <= number < 1 << bits - 1 else None
