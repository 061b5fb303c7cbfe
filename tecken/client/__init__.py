"""The program `tecken-upload`, which sends the symbol files of a build to a server.

    command  arguments, output and exit status
    files    the symbol files below the given paths, and their keys
    site     Site: HTTP to the server and its storage, with retries
    direct   upload protocol v2: each file to a URL that the server names
    zipped   upload protocol v1: zip archives
    batch    Bar and Outcome of a batch of files

The program is installed without the server, so it must import neither Django nor Redis. The token must never
be sent to a storage, which may belong to another company.
"""
