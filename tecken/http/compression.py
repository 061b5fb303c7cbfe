"""Compression of responses, as the client's Accept-Encoding allows (RFC 9110, sections 8.4 and 12.5.3).

The length of a compressed response can leak a secret that it contains beside text of an attacker's choice
(BREACH). The attack needs a browser that adds credentials by itself, so a response to a request with a
session is not compressed. docs/security.md has the whole argument.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

import zstandard
from django.conf import settings
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

Handler = Callable[[HttpRequest], HttpResponseBase]
Coding = Literal["zstd", "gzip"]

# Below the payload of a TCP segment or so, fewer bytes arrive no sooner.
SMALLEST_BYTES = 1400
# `python -m bench.compression`: higher levels cost a multiple of the CPU for some percent of the bytes.
ZSTD_LEVEL, GZIP_LEVEL = 3, 4
TYPES = ("application/json", "text/html", "text/plain", "text/csv")
WEIGHT = re.compile(r"\s*q=([01](?:\.\d{0,3})?)\s*")


def compression_middleware(get_response: Handler) -> Handler:
    """Compress large texts. Files, streams and ranges have been encoded for the client already."""

    def respond(request: HttpRequest) -> HttpResponseBase:
        response = get_response(request)
        if isinstance(response, HttpResponse) and _is_worth_it(response):
            _vary(response)
            coding = choose_coding(request.META.get("HTTP_ACCEPT_ENCODING", ""))
            if coding and not _may_leak(request, response):
                _compress(response, coding)
        return response

    return respond


def _vary(response: HttpResponse) -> None:
    """Tell caches that the response depends on Accept-Encoding, even if it is not compressed."""
    if "Vary" in response.headers:
        patch_vary_headers(response, ("Accept-Encoding",))
    else:
        response.headers["Vary"] = "Accept-Encoding"


def _is_worth_it(response: HttpResponse) -> bool:
    headers = response.headers
    return (
        len(response.content) >= SMALLEST_BYTES
        and headers.get("Content-Type", "").startswith(TYPES)
        and "Content-Encoding" not in headers
        and "Content-Range" not in headers
        and "no-transform" not in headers.get("Cache-Control", "")
    )


def _may_leak(request: HttpRequest, response: HttpResponse) -> bool:
    """Return whether an attacker may learn a secret from the compressed length.

    A page of another site may use the session. JSON with no-store contains a secret.
    """
    return settings.SESSION_COOKIE_NAME in request.COOKIES or (
        "no-store" in response.headers.get("Cache-Control", "")
        and response.headers["Content-Type"].startswith("application/json")
    )


def _compress(response: HttpResponse, coding: Coding) -> None:
    response.content = encode(response.content, coding)
    response.headers["Content-Encoding"] = coding
    response.headers["Content-Length"] = str(len(response.content))
    etag = response.headers.get("ETag", "")
    if etag.startswith('"'):
        # The bytes differ from those of the original, and have the same meaning: a weak validator.
        response.headers["ETag"] = f"W/{etag}"


def encode(content: bytes, coding: Coding) -> bytes:
    """Return the compressed content."""
    if coding == "zstd":
        return zstandard.ZstdCompressor(level=ZSTD_LEVEL).compress(content)
    # Without a time stamp, equal contents have equal bytes.
    return gzip.compress(content, GZIP_LEVEL, mtime=0)


@lru_cache(maxsize=64)
def choose_coding(header: str) -> Coding | None:
    """Return the coding that the client prefers; zstd if it prefers neither, None for no coding."""
    weights = parse_codings(header)
    best: Coding = max(("zstd", "gzip"), key=lambda coding: _weight(weights, coding))
    weight = _weight(weights, best)
    return best if weight > 0 and weight >= weights.get("identity", 0.0) else None


def accepts_gzip(header: str) -> bool:
    """Return whether a client can unpack gzip.

    A client without the header (curl, wget, debuggers) cannot, although RFC 9110 allows any coding then.
    """
    return _weight(parse_codings(header), "gzip") > 0


def parse_codings(header: str) -> Mapping[str, float]:
    """Return the weight of each coding in an Accept-Encoding header; 1.0 for a malformed weight."""
    weights = {}
    for item in header.lower().split(","):
        coding, _, weight = item.partition(";")
        match = WEIGHT.fullmatch(weight)
        weights[coding.strip()] = float(match[1]) if match else 1.0
    return weights


def _weight(weights: Mapping[str, float], coding: str) -> float:
    return weights.get(coding, weights.get("*", 0.0))
