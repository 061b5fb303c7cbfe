"""Page files: one module's symbols as a header and small compressed pages.

`convert.PageFileWriter` makes the page file of a text, and `convert.symbol_file_text` makes the text again;
`file.Header` finds the page that covers an offset and opens it; `page.Page` gives the text of each record;
`func_record.Block` looks an offset up in the text of one FUNC record. `cutter` scans, cuts and compresses the
text, in Python or with the engine, `bounds` limits a record, `packed` and `line_runs` shorten a FUNC block,
`func_ranges` is the parsed form of a FUNC block, `cfi` has call frame information.

A page keeps the records of a symbol file and is not parsed in advance: conversion cuts text and packs
numbers, and a lookup expands and parses the few records that it needs (measured by bench/convert.py,
bench/packing.py and bench/lookup.py; docs/adr/0015-page-file-version-3.md).

What must never happen:

* The same text gives different bytes: the generation in a page's key is a hash of the content.
* The layout changes without another `file.FORMAT_VERSION`: processes of two releases share the store.
* A page that is not valid raises anything but `MalformedPageFile`.
"""
