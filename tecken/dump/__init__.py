"""`python -m tecken.dump`: the program `tecken-dump` of `engine/dump` again, for machines with only Python.

It has its command line, exit statuses and output, and runs in the same child process with the same limits
(`tecken.storage.dump`). The library `symbolic` reads the file and `pycxxfilt` demangles names; both are
wheels. docs/formats.md lists what it does worse, and docs/adr/0017-python-engine.md has the reasons.

`objects` opens a file and finds its ids, `symcache` reads the functions that `symbolic` found, `text` writes
them as a symbol file, and `names` spells their names. `demangling` runs the demangler. `cabinet` unpacks CAB
files.

What must never happen:

* It is imported by a process of the site: `symbolic` and LLVM's demangler end their process for some files.
* It imports Django: each file starts a process.
* A name costs more than itself: the demangler has a process of its own, which a name may end.
"""
