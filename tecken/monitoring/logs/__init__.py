"""Log lines: fields, text and JSON form, and removal of secrets.

    formats     conversion of a record into a line of text or a JSON object
    context     the request and the job that a line is about, also across the queue
    masking     removal of passwords, tokens and cookies
    requests    the line of a request

The project uses `logging`, as its libraries do. docs/logs.md has the fields.

A line must not contain a secret, and text of a request must not start a second line. Writing one must not
contact a server: the configuration version and the degraded states are read from memory.
"""
