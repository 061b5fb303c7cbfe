"""Upstreams: other symbol servers and buckets, searched for files that are not in our own storage.

Each entry of SYMBOL_SOURCES is one upstream. `tecken.storage.services.upstream_for` makes it from its URL,
`tecken.storage.search` decides when it is searched.

    entry.py       UpstreamEntry: the text of an entry; the public servers of SYMBOL_PRESETS
    http.py        HttpTransport: deadlines, retries, throttling, redirects, circuit breaker, size limit;
                   DeadlineBackend: one deadline for a whole HTTP exchange
    addresses.py   which addresses are hosts of the public internet
    breakpad.py    BreakpadUpstream: which path of an HTTP server has a symbol file; BucketUpstream: the same
                   paths in a bucket or directory
    native.py      NativeReader: native files, fetched and checked in files without a name, and their text
    symsrv.py      SymSrvUpstream: PDB files
    debuginfod.py  DebuginfodUpstream: ELF files by build id

How to add an upstream protocol, say x:

1. `upstreams/x.py`: a class with the three members of `tecken.storage.port.Upstream`. It takes an
   HttpTransport for symbol files, or a NativeReader for files to convert, and turns a module into a path; the
   other two do everything else.
2. A line in PROTOCOLS below: the scheme of its URLs before `+http` or `+https`. Native ones: `entry.py`.
3. `tests/storage/upstreams/test_x.py`. Add a class for symbol files to the parameters of
   `tests/contract/test_symbol_source.py` too; every source of them has to pass that contract.
4. The URL in `docs/sources.md` and in the row of SYMBOL_SOURCES in `docs/configuration.md`.

What must never happen: an upstream that does not respond is reported as one that does not have the file, a
password from its URL appears in a name, log line or error, one process keeps two objects of one upstream,
which would count failures and pauses separately, or a fetched file is read before its id was compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from tecken.storage.cabinets import UnpackRules
from tecken.storage.dump import DumpEngine
from tecken.storage.port import Upstream
from tecken.storage.upstreams.breakpad import BreakpadUpstream, BucketUpstream
from tecken.storage.upstreams.debuginfod import DebuginfodUpstream
from tecken.storage.upstreams.entry import DEBUGINFOD, SYMSRV
from tecken.storage.upstreams.http import HttpTransport
from tecken.storage.upstreams.native import NativeReader
from tecken.storage.upstreams.symsrv import SymSrvUpstream

__all__ = ["PROTOCOLS", "BucketUpstream", "DebuginfodUpstream", "NativeParts"]


class NativeParts(NamedTuple):
    """What upstreams of native files need besides their server."""

    engine: DumpEngine | None
    rules: Callable[[], UnpackRules]
    find_build_ids: Callable[[str], Sequence[str]]

    def reader(self, transport: HttpTransport) -> NativeReader:
        """Return the reader of the files of a server."""
        return NativeReader(transport, self.engine, self.rules)


# An upstream's URL such as `debuginfod+https://host/` has the key `debuginfod`, one without a `+` the key "".
PROTOCOLS: Final[Mapping[str, Callable[[HttpTransport, NativeParts], Upstream]]] = {
    "": lambda transport, _parts: BreakpadUpstream(transport),
    SYMSRV: lambda transport, parts: SymSrvUpstream(parts.reader(transport)),
    DEBUGINFOD: lambda transport, parts: DebuginfodUpstream(parts.reader(transport), parts.find_build_ids),
}
