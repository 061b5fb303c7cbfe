"""Where a source file can be read: builds under version control say it in FILE records, and so does Rust.

`hg:hg.mozilla.org/mozilla-central:dom/File.cpp:0123abc`, `git:github.com/rust-lang/rust:lib.rs:0123abc`.
Source: Mozilla, toolkit/crashreporter/tools/symbolstore.py.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

RUST = re.compile(r"/rustc/([0-9a-f]{40})/(.+)")
SPELLING = re.compile(r"(hg|git):([\w.-]+(?::\d+)?)/([^:\s]+):([^:]+):([0-9A-Za-z._-]+)")
FORMS = {
    "hg": "https://{host}/{repository}/file/{revision}/{path}#l{line}",
    "github.com": "https://{host}/{repository}/blob/{revision}/{path}#L{line}",
    "gitlab.com": "https://{host}/{repository}/-/blob/{revision}/{path}#L{line}",
}


class Place(NamedTuple):
    """`file` is the part that people read; `url` is empty where none is known."""

    file: str
    line: int | None
    url: str = ""


def place(file: str, line: int | None) -> Place:
    if rust := RUST.fullmatch(file):
        file = f"git:github.com/rust-lang/rust:{rust[2]}:{rust[1]}"
    found = SPELLING.fullmatch(file)
    if found is None:
        return Place(file, line)
    kind, host, repository, path, revision = found.groups()
    form = FORMS.get("hg" if kind == "hg" else host)
    if form is None:
        return Place(path, line)
    parts = {"host": host, "repository": quote(repository), "revision": quote(revision), "path": quote(path)}
    return Place(path, line, form.format(line=line or 1, **parts))
