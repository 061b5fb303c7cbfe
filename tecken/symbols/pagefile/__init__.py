"""Page files: one module's symbols as a header and small compressed pages.

`convert.PageFileWriter` cuts the text of a symbol file into pages; `file.Header` finds the page that
covers an offset and opens it; `page.Page` gives the text of each record; `func_record.Block` looks an offset
up in the text of one FUNC record. `bounds` limits a record, `line_runs` shortens line records, `compression`
compresses pages on all cores, `func_ranges` is the parsed form of a FUNC block.

A page keeps the text of a symbol file and is not parsed in advance: conversion only cuts text, and a lookup
parses the few records that it needs (measured by bench/convert.py and bench/lookup.py).

What must never happen:

* The same text gives different bytes: the generation in a page's key is a hash of the content.
* The layout changes without another `file.FORMAT_VERSION`: processes of two releases share the store.
* A page that is not valid raises anything but `MalformedPageFile`.
"""
