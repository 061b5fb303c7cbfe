"""debuginfod's `/metadata`: build ids of the ELF files with a name.

Source: the manual page debuginfod(8) of elfutils 0.192, "WEBAPI", and debuginfod_find_metadata(3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase
from itertools import chain
from typing import Final

import orjson
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse

from tecken.errors import InvalidInput
from tecken.http.decorators import cors, get_only
from tecken.http.ratelimit import rate_limited
from tecken.http.responses import json_reply
from tecken.storage.models import Kind, SymbolFile
from tecken.storage.port import ElfPart
from tecken.symbols.ids import file_name
from tecken.symbols.layouts import ROOT

# Rows whose names are compared, and results of a response. Beyond them the response is not complete.
MAX_ROWS: Final = 10_000
MAX_RESULTS: Final = 1_000
_WILDCARD: Final = re.compile(r"[*?\[]")


@cors("GET, HEAD, OPTIONS")
@rate_limited("download")
@get_only
def metadata(request: HttpRequest, *, with_try: bool = False) -> HttpResponse:
    """Return the ELF files whose name is `value`, or that match it with `key=glob`.

    `with_try` includes those of try builds. Files have names here and no directories, so
    only what follows the last slash is compared.
    """
    key = request.GET.get("key", "")
    if key not in ("glob", "file"):
        raise InvalidInput("key must be glob or file, and value a path")
    name = file_name(request.GET.get("value", "").rpartition("/")[2], "the file name in value")
    beginning = f"{name}/" if key == "file" else _WILDCARD.split(name)[0]
    if not beginning:
        # Such a pattern would have the database read every row.
        raise InvalidInput("the file name in value must not begin with * ? or [")
    scopes = (False, True) if with_try else (False,)
    rows = [row for scope in scopes for row in _rows(beginning, try_symbols=scope)[: MAX_ROWS + 1]]
    matching = [row for row in rows if key == "file" or fnmatchcase(row[0], name)]
    results = sorted(set(chain.from_iterable(map(_results, matching))))
    is_complete = len(rows) <= MAX_ROWS and len(results) <= MAX_RESULTS
    documents = [{"type": part, "buildid": build_id, "file": file} for file, build_id, part in results]
    return json_reply(orjson.dumps({"results": documents[:MAX_RESULTS], "complete": is_complete}))


Row = tuple[str, str, str, bool]
"""Debug file, build id, kind, and whether the file has code."""


def _rows(beginning: str, *, try_symbols: bool) -> QuerySet[SymbolFile, Row]:
    """Return the rows of ELF files whose key begins so after the root: with the name of the debug file."""
    # By key, which has an index for beginnings. DISTINCT would read all rows before the first one.
    elf = SymbolFile.objects.native(try_symbols=try_symbols).filter(
        format="elf", key__startswith=f"{ROOT}/{beginning}"
    )
    return elf.exclude(build_id="").values_list("debug_file", "build_id", "kind", "has_code")


def _results(row: Row) -> Iterator[tuple[str, str, str]]:
    """Yield file, build id and type for each part of a build that the file has."""
    file, build_id, kind, has_code = row
    if has_code:
        yield file, build_id, ElfPart.EXECUTABLE.value
    if kind in (Kind.DEBUG, Kind.COMMON):
        yield file, build_id, ElfPart.DEBUG_INFO.value
