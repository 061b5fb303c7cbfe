"""Symbolication as Eliot does it, to compare with: each request reads the module's SymCache from disk.

As a WSGI application it needs SYMCACHES, a folder of <debug file>/<DEBUG ID>.symc files.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import django
import orjson
from symbolic.debuginfo import Archive
from symbolic.symcache import SymCache

Environ = dict[str, Any]
StartResponse = Callable[[str, list[tuple[str, str]]], object]


# The front that serves it reads Django's settings.
django.setup()


def application(environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
    job = orjson.loads(environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"])))
    (file, debug_id), offsets = job["memoryMap"][0], [offset for _, offset in job["stacks"][0]]
    stored = Path(os.environ["SYMCACHES"], file, f"{debug_id}.symc").read_bytes()
    cache = SymCache.from_bytes(stored)  # type: ignore[no-untyped-call]
    stack = [frame(n, file, offset, cache.lookup(offset)) for n, offset in enumerate(offsets)]
    result = {"stacks": [stack], "found_modules": {f"{file}/{debug_id}": True}}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [orjson.dumps({"results": [result]})]


def frame(number: int, module: str, offset: int, calls: Any) -> dict[str, object]:
    answer: dict[str, object] = {"frame": number, "module": module, "module_offset": hex(offset)}
    if calls:
        *inlined, outer = [{"function": c.symbol, "file": c.full_path, "line": c.line} for c in calls]
        answer |= {**outer, "function_offset": hex(offset - calls[-1].sym_addr)}
        if inlined:
            answer["inlines"] = inlined
    return answer


def make_symcache(symbols: Path, folder: Path) -> None:
    """Store a symcache where `application` looks for it."""
    archive = Archive.open(str(symbols))
    cache = next(iter(archive.iter_objects())).make_symcache()
    path = folder / symbols.parts[-3] / f"{symbols.parts[-2]}.symc"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        cache.dump_into(file)  # type: ignore[no-untyped-call]
