"""A request both ways: as the event loop has it, and through Django's handler."""

from __future__ import annotations

from io import BytesIO
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from prometheus_client import REGISTRY

from tecken.front.bridge import Response, call, wsgi_environ

REQUEST_ID = "of-the-client"

Scope = dict[str, Any]


def scope_of(path: str, method: str = "GET", **headers: str) -> Scope:
    """Return a request as uvicorn describes it, with these headers."""
    sent = {"host": "localhost", "user-agent": "tests", "x-request-id": REQUEST_ID}
    sent |= {name.replace("_", "-"): value for name, value in headers.items()}
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "client": ("127.0.0.1", 5000),
        "server": ("127.0.0.1", 8000),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
    }


def django(scope: Scope, body: bytes = b"") -> Response:
    """Return what the handler returns."""
    return call(WSGIHandler(), wsgi_environ(scope, BytesIO(body), len(body) if body else None))


def values_of(response: Response) -> dict[str, str]:
    """Return the headers."""
    return {name.decode(): value.decode() for name, value in response.headers}


def counts() -> dict[str, float]:
    """Return the value of each of our metrics, apart from durations."""
    return {
        f"{sample.name}{sample.labels}": sample.value
        for family in REGISTRY.collect()
        if family.name.startswith("tecken_") and family.name != "tecken_request_seconds"
        for sample in family.samples
        if not sample.name.endswith("_created")
    }
