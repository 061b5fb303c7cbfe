from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from tecken.client.site import RequestRefused, Site, TryLater, parse_retry_after
from tests.support.redis_server import free_port


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("0", 0.0),
        (" 120 ", 120.0),
        ("soon", None),
        ("-5", None),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 0.0),
    ],
)
def test_retry_after_seconds_are_parsed(header: str | None, seconds: float | None) -> None:
    assert parse_retry_after(header) == seconds


def test_retry_after_date_is_parsed() -> None:
    left = parse_retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=2), usegmt=True))
    assert left == pytest.approx(7200, abs=600)


@pytest.mark.parametrize("account", ["ted:hunter2@", "hunter2@"])
def test_site_error_hides_the_password_of_the_url(account: str) -> None:
    with Site(f"http://{account}127.0.0.1:{free_port()}", "token", attempts=1) as away:
        with pytest.raises(TryLater) as refused:
            away.post("upload/v2/")
        assert "hunter2" not in str(refused.value)
    with Site(f"ftp://{account}host", "token") as odd, pytest.raises(RequestRefused) as unsupported:
        odd.post("upload/v2/")
    assert "hunter2" not in str(unsupported.value)
