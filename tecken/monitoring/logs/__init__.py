"""Log lines: their fields, their two forms, and what is kept out of them.

    formats     a record becomes a line of text, or one JSON object
    context     the request and the job that a line is about
    jobs        the id of a request travels with its jobs
    masking     passwords, tokens and cookies are removed
    requests    the line of a request

The project uses `logging`, as its libraries do. docs/logs.md has the fields.

A line must not contain a secret, and text of a request must not start a second line. Writing one must not
contact a server: the configuration version and the degraded states are read from memory.
"""
