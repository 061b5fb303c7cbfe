"""Tecken, a symbols server: it stores debug symbols, serves them to debuggers and symbolicates stacks.

The packages form layers, which `pyproject.toml` lists and `lint-imports` enforces. From the lowest:

    redisclient                        clients of both Redis servers
    symbols, limits                    formats, ids and page files; rate limits and quotas
    store, runtimeconfig               pages on redis-store; options that change at run time
    dump                               the engine for native files in Python, in child processes
    storage, jobs, accounts            files and upstreams; the queue; tokens and users
    http                               decorators, errors and responses of views
    symbolication, download            the two services for clients
    monitoring                         health, preflight, logs, telemetry
    upload, doctor                     the protocols of uploads; checks of the whole site
    web, management, front, client     pages and API; commands; HTTP front; tecken-upload

An import must never point upwards. Each package builds its long-lived objects in its own `services.py`.
"""

# version.json and the User-Agent of requests take the version from here.
__version__ = "1.0.0"
