"""Values of a minidump's report, which may each be null, absent or of another type.

A report is rust-minidump's JSON, with or without Tecken's additional keys. Its texts may be of any length and
have any character.

Source: rust-minidump, minidump-processor/json-schema.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

Json = Mapping[str, object]

LONGEST_TEXT: Final = 400


def clean(value: object, longest: int = LONGEST_TEXT) -> str:
    """Return a value as a short text in one line without control characters."""
    text = ("" if value is None else str(value))[: longest + 1]
    if not text.isprintable():
        text = "".join(c if c.isprintable() else " " for c in text).strip()
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def read_text(document: Json, key: str) -> str:
    """Return the text of a key; "" for none, or for a list or an object."""
    value = document.get(key)
    return clean(value) if isinstance(value, str | int | float) else ""


def read_number(document: Json, key: str) -> int | None:
    """Return the natural number of a key; None for none, or for another value."""
    value = document.get(key)
    is_number = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 64
    return value if is_number and isinstance(value, int) else None


def read_object(document: Json, key: str) -> Json:
    """Return the object of a key; an empty one for none, or for another value."""
    value = document.get(key)
    return value if isinstance(value, dict) else {}


def read_list(document: Json, key: str) -> Sequence[object]:
    """Return the list of a key; an empty one for none, or for another value."""
    value = document.get(key)
    return value if isinstance(value, list) else ()


def read_objects(document: Json, key: str) -> list[Json]:
    """Return the objects in the list of a key. Other values become empty ones, so that indexes stay right."""
    return [item if isinstance(item, dict) else {} for item in read_list(document, key)]


def shorten(number: str) -> str:
    """Return a hexadecimal number without the zeros at its start."""
    digits = number.removeprefix("0x").lstrip("0")
    return f"0x{digits or '0'}" if number.startswith("0x") else number
