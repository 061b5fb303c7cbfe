"""Download protocols: each turns the URL of a request into a request of `tecken.storage.port`, nothing else.

`PATTERNS`, `BUILD_ID_PATTERNS` and `SOURCE_PATTERNS` are the registries, by what a request names: file names
and an id, a build id alone, or a build id and the path of a source file. `tecken.download.views` serves every
request of a kind in the same way: rate limit, search, redirect or body, ranges and conditional requests,
counting of missing symbols.

How to add a protocol (here: the unified layout):

1. `protocols/unified.py` with a mapping PATTERNS: from a URL pattern of Django, without the leading slash, to
   a function that takes the query and the names of the pattern and returns a FileRequest. Names are as the
   client wrote them; the function raises BadModule, a 400, for those that no file can have. `parse_names` of
   `tecken.storage.port` checks and normalises three of them, and `FileType.file_name` makes the name
   of an object's file where the URL has none.
2. One line in PATTERNS below, before that of `tecken`: the first pattern that matches is used, and Tecken's
   match any three names. So a prefix such as `unified/` hides the modules that have it as their debug file.
3. `tests/download/protocols/test_unified.py`: the function alone, then one request through the site.
4. A section in `docs/api.md` for each pattern; `tests/test_house.py` compares the two.

What must never happen: a protocol searches, reads a file or makes a response. A rule about files that only
one protocol has leads to different results for the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from django.urls import register_converter

from tecken.download.protocols import debuginfod, symsrv, tecken
from tecken.storage.port import BuildIdRequest, FileRequest, SourceRequest


class Hex:
    """A path converter for hex digits, in any case."""

    regex = "[0-9A-Fa-f]+"

    def to_python(self, value: str) -> str:
        """Return the digits as the client wrote them."""
        return value

    def to_url(self, value: str) -> str:
        """Return the digits unchanged."""
        return value


register_converter(Hex, "hex")

PATTERNS: Mapping[str, Callable[..., FileRequest]] = {
    **symsrv.PATTERNS,
    **tecken.PATTERNS,
}
BUILD_ID_PATTERNS: Mapping[str, Callable[..., BuildIdRequest]] = {
    **debuginfod.PATTERNS,
}
SOURCE_PATTERNS: Mapping[str, Callable[..., SourceRequest]] = {
    **debuginfod.SOURCE_PATTERNS,
}
