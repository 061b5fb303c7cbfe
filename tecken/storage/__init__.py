"""Places where symbol files are, and what is known about them.

    port.py            SymbolSource, Upstream, OwnFiles, PageFiles: the interfaces; FetchLimits
    factory.py         storages and upstreams from the URLs of the settings
    backends/          uploaded files, page files and staging in a bucket, a directory or memory
    upstreams/         other symbol servers and buckets
    file_request.py    FileRequest: one requested file, whatever protocol it was requested with
    search.py          Search: the one order of all places
    presence_cache.py  which files exist, on redis-cache
    lookup_log.py      the result of each source when a module was last searched for, on redis-cache
    models.py          SymbolFile: a row for each stored file
    codes.py           the module of a binary, by code file and code id
    miss_counts.py     counts of files that no place has
    disk_space.py      free space, checked before anything large is accepted

A request for a file: a download protocol makes a FileRequest from the URL. `Search.find` reads what the
presence cache has about each place, in one round trip. Places that it does not have are consulted in order
until one has the file, and each result is stored. The view then sends the file or a redirect to it.

What must never happen: a place that did not respond is reported or cached as one that does not have the file,
a presence entry from before an upload is stored after it, or two modules decide about the order of places.
"""
