"""Symbolication: the functions, files, lines and inlined calls at module offsets.

A request is parsed (`api.schema`), resolved (`service`) and rendered (`api.answer`). In between, the loader
(`loader`) finds headers and pages in this process, in the store or in page files, and `frame_lookup` finds
the frames in them. A module without a page file is converted by a worker (`conversion`); the request waits
for it until its deadline.

Main names: `service.symbolicate`, `loader.SymbolLoader`, `conversion.queue.CeleryConversionQueue`,
`conversion.converter.Converter`, `invalidation.InvalidationPublisher` and `InvalidationSubscriber`,
`explain.Explainer`. `services` builds the long-lived objects of a process.

What must never happen:

* A web process converts a symbol file, or reads an upstream to symbolicate.
* An outage is reported as "the module has no symbols".
* One module's failure makes another module of the request fail.
* Frames of former symbols are returned for longer than a header is trusted (`process_header_seconds`).
* A request costs more round trips to the store because it has more modules or frames.
"""
