"""Processing of minidumps by the site: from the file of a client to a report.

    submission   what a web process does: store the dump, send its job, look for the result
    processing   what a worker does: have a child walk the dump, store the report, delete the dump
    child        the child process, whose program is `tecken.symbolication.minidump`, and its parent's side
    symbols      answers to the child's questions: headers, pages and frames of the dump's modules
    tracker      states and places of clients on redis-cache
    dump_files   dumps and reports in the storage
    services     the long-lived objects

What must never happen: a dump stays in the storage after its job, unless an option keeps it; a log line or an
error has memory of a dump; a dump costs a worker more than its limits.
"""
