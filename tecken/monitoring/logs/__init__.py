"""Log lines: what each has, how it looks, and what never stands in one.

    formats     a record becomes a line of text, or one JSON object
    about       which request and which job a line is about; ids that travel with jobs
    masking     passwords, tokens and cookies do not get through
    requests    the line of a request

The project logs with `logging`, as its libraries do. docs/logs.md has the fields.
"""
