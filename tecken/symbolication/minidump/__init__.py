"""Minidumps: from the bytes of a .dmp file to the stacks of its threads.

A dump is parsed (`dump`), its threads are walked side by side (`unwind`), and the result is written as
rust-minidump's JSON (`report`). The package is pure: it opens no file and no connection, and takes symbols
from a `port.SymbolAccess`. It reads what strangers send, so it runs in a child process with limits.

Sources: Microsoft's minidumpapiset.h (https://learn.microsoft.com/windows/win32/api/minidumpapiset/),
Breakpad's `minidump_format.h`, Crashpad's `minidump_extensions.h`, rust-minidump's `json-schema.md`.
"""
