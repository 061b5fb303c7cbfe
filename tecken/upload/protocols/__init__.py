"""Upload protocols: one module each, with the views that clients call.

* `archive`: `POST /upload/` with a zip file in a form, or with the URL of one, which is fetched.
* `direct`: `/upload/v2/`, in which the client announces its files, sends each to a signed URL and completes
  the upload. It also has what the other protocols share: permissions, `find_upload` and `upload_fields`.
* `sym_upload`: both protocols of Breakpad's `sym_upload`, and the storage of its one file.

Each view checks the token, the rate limit and the size before it reads the body. The response texts are part
of the contract in `docs/api.md`. A try token must never write to the regular storage: `writes_try` decides
that from the token's permissions alone.
"""
