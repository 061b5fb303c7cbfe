"""JSON API below `/api/`: tokens, uploads, files, missing symbols, usage, configuration and Redis.

It uses django-ninja. A module has the operations of one or two tags: schemas, a router, filters and columns.
`site.py` assembles them, turns errors into `{"error": "..."}` and adds rate limits. Callers send a token in
`Auth-Token` or are logged in (`TokenPermission`). Lists share `tecken.web.lists`: filters (text to query) and
paging (by number or after a row). `openapi.py` completes the OpenAPI document.

Fields, paths and parameters are a contract with clients, which docs/api.md describes. Names of schema classes
are component names of the document and may change.

What must never happen:

* An operation without a limit: each passes `tecken.http.ratelimit`.
* An operation that returns rows of another user without the permission for it.
* A list whose cost grows with the number of rows: pages are found by keyset, and counting has a bound.
"""
