"""Members of JSON documents that may have any shape: a malformed member counts as absent.

Half a report is better than none, so the parsers of JSON leave malformed parts out one by one.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from tecken.symbolication.crash_reports.parsed_report import parse_address

Json = dict[str, Any]


def find_documents(text: str) -> Iterator[Json]:
    """Yield the JSON object of the text, or the one after its first line: an .ips file has two documents."""
    if text.lstrip()[:1] != "{":
        return
    for part in (text, text.lstrip().partition("\n")[2]):
        try:
            document = orjson.loads(part)
        except orjson.JSONDecodeError:
            continue
        if isinstance(document, dict):
            yield document
        return


def find_list(owner: Any, *names: str) -> list[Any]:
    """Return the first of these members that is a list, or an empty list."""
    values = (owner.get(name) for name in names) if isinstance(owner, dict) else iter(())
    return next((value for value in values if isinstance(value, list)), [])


def find_objects(owner: Any, *names: str) -> list[Json]:
    """Return a list's items; each that is not an object counts as empty, so that positions stay."""
    return [value if isinstance(value, dict) else {} for value in find_list(owner, *names)]


def find_text(owner: Json, *names: str) -> str:
    """Return the first of these members that is a string, or ""."""
    return next((value for name in names if isinstance(value := owner.get(name), str)), "")


def find_number(owner: Json, *names: str) -> int | None:
    """Return the first of these members that is an address."""
    for name in names:
        try:
            return parse_address(owner.get(name))
        except ValueError:
            continue
    return None
