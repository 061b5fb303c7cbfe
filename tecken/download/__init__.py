"""Downloads of stored files, and the list of missing symbols.

`protocols/` turns URLs into requests, `tecken.storage.search` finds the file, and `responses.py` sends it:
whole, in part, unpacked for clients without gzip, or as a redirect to a signed URL or an upstream. `views.py`
connects the three. A request for symbols that no place has is counted; `missing.py` moves the counts into the
database and lists them.

What must never happen: a client receives 404 while a place that may have the file did not respond. Clients
remember that the file does not exist; a 503 makes them try again.
"""
