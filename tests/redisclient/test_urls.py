from __future__ import annotations

import pytest

from tecken.redisclient import seeds, sentinels
from tecken.redisclient.urls import Seeds, Sentinels


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("sentinel://a/m", Sentinels((("a", 26379),), "m", 0, {}, {}, False)),
        ("sentinel://a:1,b/m/2", Sentinels((("a", 1), ("b", 26379)), "m", 2, {}, {}, False)),
        ("sentinel://a:1%2Cb:2/m", Sentinels((("a", 1), ("b", 2)), "m", 0, {}, {}, False)),
        (
            "sentinels://ted:p%2C%40@a/m?sentinel_username=s&sentinel_password=%23&ssl_ca_certs=%2Fca.pem",
            Sentinels(
                (("a", 26379),),
                "m",
                0,
                {"username": "ted", "password": "p,@"},
                {"username": "s", "password": "#"},
                True,
                "/ca.pem",
            ),
        ),
    ],
)
def test_sentinels_of_a_url_are_parsed(url: str, expected: Sentinels) -> None:
    assert sentinels(url) == expected


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis-cluster://a", Seeds((("a", 6379),), {}, False)),
        ("redis-cluster://a:1,b/0", Seeds((("a", 1), ("b", 6379)), {}, False)),
        ("redis-cluster://:p%40@a%2Cb", Seeds((("a", 6379), ("b", 6379)), {"password": "p@"}, False)),
        (
            "rediss-cluster://ted:p@a/0?ssl_ca_certs=%2Fca.pem",
            Seeds((("a", 6379),), {"username": "ted", "password": "p"}, True, "/ca.pem"),
        ),
    ],
)
def test_seeds_of_a_url_are_parsed(url: str, expected: Seeds) -> None:
    assert seeds(url) == expected


@pytest.mark.parametrize("url", ["redis://a:1/0", "rediss://a", "unix:///tmp/redis"])
def test_url_of_another_scheme_has_neither(url: str) -> None:
    assert sentinels(url) is None
    assert seeds(url) is None
