"""Demo mode: the whole site in one process, with Redis in memory, for trying the site and not for production.

    site   what the web process does in addition: migrate, load the samples, run jobs and beat in threads; the
           Celery transport on Redis servers in memory (`tecken.redisclient.pools`)
    alone  the claim on the demo's directory, which keeps it to one process

What a demo has in memory is invisible to every other process. So a second process, or a child that is forked
from the first, must be refused: its limits, jobs and sessions would differ without an error.
"""
