"""The program `tecken-upload`, which sends the symbol files of a build to a server.

    __main__  the command: arguments, output and exit status
    modules   ids and contents of files, which of them belong together, and what is missing
    files     the symbol files below the given paths, and their keys
    site      Site: HTTP to the server and its storage, with retries
    uploads   upload protocol v2: each file to a URL that the server names, and v1: zip archives; Bar and
              Outcome of a batch of files

The program is installed without the server, as the distribution of `client/pyproject.toml` and as one file
that the site serves (`tecken.web.upload_program`), so it must import neither Django nor Redis. A module that
it newly imports needs a line in `client/pyproject.toml`. The token must never be sent to a storage, which may
belong to another company.
"""

from __future__ import annotations

__version__ = "1.0.0"
