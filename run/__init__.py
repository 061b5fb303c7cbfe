"""Commands of the Makefile: they install packages, and run the site of this checkout.

    install     make (any target): Python packages into .venv
    stack       make run: both Redis servers, a worker, beat, the web server
    supervisor  Service, supervise: the processes of make run; Screen: their output, in a log file and in
                short on the terminal
    tour        the first output of make run: a symbolicated stack, and where to look next
    web         make serve: the preflight, then the web server; production starts this, too
    admin       make admin: the account admin
    redis_cli   make redis-cache-cli, make redis-store-cli
    lock        make lock: pins the packages
    release     the notes of a release, for the forge
    checkout    paths, the state of make run, and version.json; make manage: management commands for the
                servers of make run

`install`, `redis_cli` and `release` run before any package is installed, so they and `checkout` may import
the standard library only. An account with a printed password must never be created in production (`admin`).
"""
