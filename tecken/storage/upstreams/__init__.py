"""Upstreams: other symbol servers and buckets, searched for files that are not in our own storage.

Each entry of SYMBOL_SOURCES is one upstream. `tecken.storage.services.upstream_for` makes it from its URL,
`tecken.storage.search` decides when it is searched.

    addresses.py  which addresses are hosts of the public internet
    http.py       HttpTransport: deadlines, retries, throttling, redirects, circuit breaker, size limit;
                  DeadlineBackend: one deadline for a whole HTTP exchange
    breakpad.py   BreakpadUpstream: which path of an HTTP server has a symbol file; BucketUpstream: the same
                  paths in a bucket or directory

How to add an upstream protocol (here: debuginfod):

1. `upstreams/debuginfod.py`: a class with the three members of `tecken.storage.port.Upstream`. It takes an
   HttpTransport and turns a module into a path; the transport does everything else.
2. One line in PROTOCOLS below: the scheme of its URLs before `+http` or `+https`, such as `debuginfod`. The
   class receives an HttpTransport for the part after the `+`.
3. `tests/storage/upstreams/test_debuginfod.py`. Add the class to the parameters of
   `tests/contract/test_symbol_source.py` too; every source has to pass that contract.
4. The URL in the row of SYMBOL_SOURCES in `docs/configuration.md`.

What must never happen: an upstream that does not respond is reported as one that does not have the file, a
password from its URL appears in a name, log line or error, or one process keeps two objects of one upstream,
which would count failures and pauses separately.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tecken.storage.port import Upstream
from tecken.storage.upstreams.breakpad import BreakpadUpstream, BucketUpstream
from tecken.storage.upstreams.http import HttpTransport

__all__ = ["PROTOCOLS", "BucketUpstream"]

# An upstream's URL such as `debuginfod+https://host/` has the key `debuginfod`, one without a `+` the key "".
PROTOCOLS: Mapping[str, Callable[[HttpTransport], Upstream]] = {
    "": BreakpadUpstream,
}
