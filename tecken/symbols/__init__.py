"""Symbols without I/O: identifiers, formats, page files and lookups in them.

`ids` has the identifiers of modules, `formats` the readers of symbol files, `pagefile` the format in which
symbols are stored and looked up, and `lookup` finds the frame of an offset in a page. `decompression` unpacks
gzip and zstd, `source_paths` cleans source paths.

This package depends on nothing else in Tecken but its errors.

What must never happen:

* It opens a file, a socket or a process, or reads a setting: callers pass bytes and file objects in.
* Some input takes unbounded memory or time: `pagefile.bounds` limits it when it is converted.
* A frame differs from that of the `symbolic` library for a well-formed file (tests/symbols/test_oracle.py).
"""
