"""HTTP for all views: decorators, errors, ranges, compression, paging and rate limits.

Modules:

* `decorators`: CORS, method, permission and body of a view, each as a decorator.
* `ratelimit`: charges a request to its caller; `tecken.limits` decides.
* `responses`: JSON replies, the one table from errors to statuses, byte ranges, and the middleware that
  compresses responses.
* `keyset`: pages of a list that cost the same at any depth.

What must never happen:

* A reply contains the text of an unexpected exception, which may quote a command, a path or a password.
* A body is read past its limit, as sent or as unpacked, or before the caller's permission is checked.
* A response to a request with a session is compressed (BREACH).
* A request that fails is charged for its bytes.
"""
