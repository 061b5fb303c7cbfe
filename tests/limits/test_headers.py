from __future__ import annotations

from tecken.limits.port import Limit, LimitStatus, policy_header, status_header

STANDINGS = [
    LimitStatus(Limit("symbolicate", 600, "requests", "minute", "address"), 599, 0.1),
    LimitStatus(Limit("symbolicate", 10_000, "frames", "day", "token"), 0, 61_234.103),
    LimitStatus(Limit("upload", 2048, "bytes", "month", "user"), 2048, 0),
]


def test_limit_headers_are_structured_fields() -> None:
    assert policy_header(STANDINGS) == (
        '"requests-minute-address";q=600;w=60, "frames-day-token";q=10000;w=86400;qu="frames", '
        '"bytes-month-user";q=2048;qu="content-bytes"'
    )
    assert status_header(STANDINGS) == (
        '"requests-minute-address";r=599;t=1, "frames-day-token";r=0;t=61235, "bytes-month-user";r=2048;t=0'
    )
