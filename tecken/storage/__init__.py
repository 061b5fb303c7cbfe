"""Places where symbol files are, and what is known about them.

    port.py            SymbolSource, Upstream, OwnFiles, PageFiles: the interfaces; FetchLimits; FileRequest:
                       one requested file, whatever protocol it was requested with
    services.py        storages and upstreams from the URLs of the settings
    backends/          uploaded files, page files and staging in a bucket, a directory or memory
    upstreams/         other symbol servers and buckets
    search.py          Search: the one order of all places
    search_places.py   SearchPlace: one of them, and what is found there
    source_chain.py    SourceChain: a symbol file from the first source; upstreams that can be off
    presence_cache.py  which place has a file, and which has not, on redis-cache
    lookup_log.py      the result of each source when a module was last searched for, on redis-cache
    miss_counts.py     counts of files that no place has, on redis-cache
    native.py          NativeSymbols: symbols of uploaded native files, found by their ids
    dump.py            the child process that writes a native file's symbols as text, or unpacks a CAB file
    build_ids.py       whole build ids that requests carried, on redis-cache
    cabinets.py        the file in a CAB file, in a file without a name
    models.py          SymbolFile: a row for each stored file; Blob: a row for content of native files
    blob_rows.py       references to content, and the order in which it is stored and deleted
    disk.py            free space, checked before anything large is accepted; files without a name

A request for a file: a download protocol makes a FileRequest from the URL. `Search.find` reads what the
presence cache has about each place, in one round trip. Places that it does not have are consulted in order
until one has the file, and each result is stored. The view then sends the file or a redirect to it.

What must never happen: a place that did not respond is reported or cached as one that does not have the file,
a presence entry from before an upload is stored after it, two modules decide about the order of places,
content is deleted to which a row refers, or a process of ours does more with a native file than identify it.
"""
