"""Tecken's own protocol, which most symbol servers share: `/<debug file>/<id>/<file name>`.

Below `/try`, try files are included in the search.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from django.http import QueryDict

from tecken.errors import BadModule
from tecken.storage.port import FileRequest, parse_names
from tecken.symbols.ids import code_id as normal_code_id
from tecken.symbols.ids import file_name as valid_name

TRY_ROOT = "/try"


def parse(query: QueryDict, debug_file: str, debug_id: str, file_name: str, *, root: str = "") -> FileRequest:
    """Return the request for a path below `root`. Raises BadModule."""
    code_file, code_id = _parse_code(query)
    return parse_names(debug_file, debug_id, file_name)._replace(
        with_try=root == TRY_ROOT or "try" in query, root=root, code_file=code_file, code_id=code_id
    )


def _parse_code(query: QueryDict) -> tuple[str, str]:
    """Return code file and code id, which stackwalkers add; both empty if one is invalid."""
    try:
        return valid_name(query.get("code_file", "")), normal_code_id(query.get("code_id", ""))
    except BadModule:
        return "", ""


PATTERNS: dict[str, Callable[..., FileRequest]] = {
    "try/<str:debug_file>/<hex:debug_id>/<str:file_name>": partial(parse, root=TRY_ROOT),
    "<str:debug_file>/<hex:debug_id>/<str:file_name>": parse,
}
