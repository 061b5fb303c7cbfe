"""Upstreams: other symbol servers and buckets, searched for files that are not in our own storage.

Each entry of SYMBOL_SOURCES is one upstream. `tecken.storage.services.upstream_for` makes it from its URL,
`tecken.storage.search` decides when it is searched.

    entry.py            UpstreamEntry: the text of an entry; the public servers of SYMBOL_PRESETS
    transport.py        FileTransport: how files are read, whatever their layout
    http.py             HttpTransport: deadlines, retries, throttling, redirects, circuit breaker, size limit;
                        DeadlineBackend: one deadline for a whole HTTP exchange
    addresses.py        which addresses are hosts of the public internet
    bucket.py           BucketTransport: the same interface for a bucket or directory
    layouts.py          Layout: which native files of a module there are, and their paths
    symbol_files.py     SymbolFileUpstream: symbol files
    native_upstream.py  NativeUpstream: native files in any layout
    native.py           NativeReader: native files, fetched and checked, in files without a name; their text

Each layout works with each transport. How to add a layout, say x:

1. A function and an entry of LAYOUTS in `layouts.py`: from the identity of a module to its files.
2. Its files in `tests/storage/upstreams/test_layouts.py`, and a line in FILES of `test_hostile.py` beside it.
3. The scheme in the table of `docs/sources.md`.

A transport is a class with the interface of `transport.py`, and a line in `upstream_for`.

What must never happen: an upstream that does not respond is reported as one that does not have the file, a
password from its URL appears in a name, log line or error, one process keeps two objects of one upstream,
which would count failures and pauses separately, or a fetched file is read before its id was compared.
"""
