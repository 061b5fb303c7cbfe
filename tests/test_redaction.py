from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tecken.errors import hide_places, redact_text, redact_url, without_account
from tecken.monitoring.logs import mask_secrets
from tecken.monitoring.preflight.inspect import format_address, mask_url
from tecken.redisclient.urls import check_store_url

SECRETS = st.text("s3cR€t:@/?#%&=+,;~._- ", min_size=4, max_size=20).map(lambda text: f"hunter2{text}hunter2")
RAW = st.text("s3cRt%&=+,;~._-", max_size=20).map(lambda text: f"hunter2{text}hunter2")
ENCODED = SECRETS.map(lambda text: quote(text, safe=""))
REDIS = ("redis", "rediss", "sentinel", "sentinels", "redis-cluster", "rediss-cluster")
SCHEMES = st.sampled_from((*REDIS, "postgres", "mysql", "s3", "gs", "az", "https", "http", "file"))
PLACES = st.sampled_from(
    ("h", "h:6379", "a:1,b:2", "a:1%2Cb:2", "[::1]:6379", "bucket/prefix", "h/main/0", "h:1/7")
)
NAMES = st.sampled_from(("password", "sentinel_password", "secret_access_key", "sig", "token"))


@st.composite
def urls(draw: st.DrawFn) -> str:
    secret = draw(RAW | ENCODED)
    account = draw(st.sampled_from(["", "{}@", ":{}@", "ted:{}@", "ted%40corp:{}@"]))
    query = draw(st.sampled_from(["", "?{name}={}", "?x=1&{name}={}&y=2", "?{name}={}@x", "#{}"]))
    assume(account or query)
    place = draw(PLACES)
    name = draw(NAMES)
    return f"{draw(SCHEMES)}://{account}{place}{query}".replace("{name}", name).replace("{}", secret)


@given(urls())
def test_redact_url_removes_every_secret(url: str) -> None:
    texts = redact_text(f"cannot reach {url}: refused"), mask_secrets(f"{url} does not answer")
    for shown in (redact_url(url), mask_url(url), *texts):
        assert "hunter2" not in shown
    assert "hunter2" not in without_account(url)
    assert "hunter2" not in format_address(url)


@pytest.mark.parametrize(
    ("url", "redacted", "bare"),
    [
        ("redis://secret@host", "redis://***@host", "redis://host"),
        ("redis://:secret@host:1/0", "redis://:***@host:1/0", "redis://host:1/0"),
        ("redis://ted:sec@ret@host", "redis://ted:***@host", "redis://host"),
        ("redis://ted:sec?ret@host", "redis://***", "redis://***"),
        ("https://secret@sentry.example/1", "https://***@sentry.example/1", "https://sentry.example/1"),
        ("s3://bucket/a?secret=b", "s3://bucket/a?***", "s3://bucket/a"),
        ("https://host/?to=a@secret", "https://***", "https://***"),
        ("secret@host", "***@host", "host"),
        ("file:///var/storage", "file:///var/storage", "file:///var/storage"),
        ("", "", ""),
    ],
)
def test_redact_url_keeps_other_parts(url: str, redacted: str, bare: str) -> None:
    assert (redact_url(url), without_account(url)) == (redacted, bare)


@pytest.mark.parametrize("character", [" ", "'", '"', "<", ">", "\n"])
def test_redis_url_with_a_separator_of_log_lines_is_invalid(character: str) -> None:
    with pytest.raises(ValueError, match="%-encoded"):
        check_store_url(f"redis://:a{character}b@host")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "symsrv+file:///srv/my symbols: the symbol file is of another build: its MODULE record",
            "a source: the symbol file is of another build: its MODULE record",
        ),
        ("a.pdb/1 is not in FILE:///a, s3://b/c, no other", "a.pdb/1 is not in a source, a source, no other"),
        ("az://c/prefix has no a.pdb/1/a.sym", "a source has no a.pdb/1/a.sym"),
        ("gs://c allows no name as long as x...", "a source allows no name as long as x..."),
        (
            "s3://b/c: Error performing GET http://10.0.0.1:9000/b/c/a.sym in 1s",
            "a source: Error performing GET ... in 1s",
        ),
        (
            "file:///srv/x: Unable to open file /srv/x/a.sym: Permission denied",
            "a source: Unable to open file ...: Permission denied",
        ),
        ("https://symbols.example/x: refused: 403", "https://symbols.example/x: refused: 403"),
        ("no file at /a/b.pdb", "no file at /a/b.pdb"),
    ],
)
def test_hide_places_keeps_the_reason_and_public_servers(text: str, expected: str) -> None:
    assert hide_places(text) == expected
