"""The program `tecken-upload`, which sends the symbol files of a build to a server.

    __main__     the command: what it does in which order, and its exit status
    options      the command line, and variables of the environment
    origin       build, branch, commit and note of an upload, from options or the CI system
    symbolicate  the command `tecken-symbolicate`, which sends a crash report and prints its functions
    files        the symbol files below the given paths, and their keys
    modules      ids and contents of files, which of them belong together, and what is missing
    sources      source bundles
    site         Site: HTTP to the server and its storage, with retries
    archives     upload protocol v1: zip archives
    direct       upload protocol v2: each file to a URL that the server names
    uploads      what both protocols share: limits, results of files, the progress bar
    report       output: lines of files, totals, JSON

The program is installed without the server, as the distribution of `client/pyproject.toml` and as one file
that the site serves (`tecken.upload.program`), so it must import neither Django nor Redis. A module that it
newly imports needs a line in `client/pyproject.toml`. The token must never be sent to a storage, which may
belong to another company.
"""

from __future__ import annotations

__version__ = "1.0.0"
