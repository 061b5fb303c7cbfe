"""Bridge from ASGI to WSGI: the environment of a request, and the response of a handler."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Any, BinaryIO, Final, NamedTuple
from urllib.parse import unquote_to_bytes

Environ = dict[str, Any]
Scope = Mapping[str, Any]
HeaderList = list[tuple[bytes, bytes]]
Application = Callable[[Environ, Any], Any]

UNPREFIXED: Final = {b"content-type": "CONTENT_TYPE", b"content-length": "CONTENT_LENGTH"}


class Response(NamedTuple):
    """Response of a handler: either `whole`, a list with the body as its only item, or `pieces` of the body.

    The list lets the sender drop the bytes while this tuple is still referenced.
    """

    status: int
    headers: HeaderList
    whole: list[bytes]
    pieces: Iterator[bytes] | None = None
    close: Callable[[], object] = bool


Take = Callable[[Scope, Callable[[Response | None], None]], bool]
"""Function that may take a request without a body. Then it calls the second argument, in a later pass of the
event loop, with the response in one piece, or with None to have the request handled as others are."""


def wsgi_environ(scope: Scope, body: BinaryIO | Any, size: int | None) -> Environ:
    """Return the WSGI environment (PEP 3333) of a request whose body has been read.

    `size` is the number of bytes of the body; with None the client's own Content-Length stays.
    """
    client, server = scope["client"] or ("", 0), scope["server"] or ("localhost", 80)
    path = scope["raw_path"]
    variables: Environ = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": "",
        "PATH_INFO": (unquote_to_bytes(path) if b"%" in path else path).decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1]),
        "SERVER_PROTOCOL": f"HTTP/{scope['http_version']}",
        "REMOTE_ADDR": client[0],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope["scheme"],
        "wsgi.input": body,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": True,
        "wsgi.run_once": False,
    }
    _add_headers(variables, scope["headers"])
    if size is not None:
        variables["CONTENT_LENGTH"] = str(size)
    return variables


def _add_headers(variables: Environ, headers: HeaderList) -> None:
    """Add the headers, joining repeated ones.

    A name with an underscore is dropped: in the environment it is equal to the name with a dash, so a client
    could forge a header that the proxy sets.
    """
    for name, value in headers:
        key = _key(name)
        if key is None:
            continue
        text = value.decode("latin-1")
        if key in variables:
            variables[key] += (";" if key == "HTTP_COOKIE" else ",") + text
        else:
            variables[key] = text


@lru_cache(maxsize=256)
def _key(name: bytes) -> str | None:
    if b"_" in name:
        return None
    return UNPREFIXED.get(name) or "HTTP_" + name.decode("latin-1").upper().replace("-", "_")


def call(application: Application, request: Environ) -> Response:
    """Run the handler. A response with `pieces` must be closed when all of them have been sent."""
    started: list[Any] = []

    def start_response(status: str, headers: list[tuple[str, str]], _error: object = None) -> None:
        started[:] = int(status[:3]), headers

    result = application(request, start_response)
    status, header_texts = started
    # HTTP headers are bytes that WSGI passes as Latin-1 text (PEP 3333), so this restores them.
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in header_texts]
    if getattr(result, "streaming", False):
        return Response(status, headers, [], iter(result), result.close)
    try:
        return Response(status, headers, [b"".join(result)])
    finally:
        # PEP 3333: an iterable may have a `close`, and a list has none.
        getattr(result, "close", bool)()
