"""The HTTP interface of symbolication: versions 4 and 5, from bytes to bytes.

`views` charges and bounds a request, `schema` turns its JSON into jobs, `answer` turns resolved jobs into
JSON (`V4`, `V5`). docs/api.md describes the wire format.

What must never happen:

* A text of the wire format changes, or a key of the response is spelt differently from the request.
* A response is larger than `symbolicate_max_answer_bytes`, or is built in memory before its size is known.
* A body is read before the request is charged and its size is checked.
"""
