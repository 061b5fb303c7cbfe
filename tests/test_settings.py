from __future__ import annotations

import json
import ssl
import subprocess
import sys

import pytest

from tecken.settings import BASE_DIR

SHOW = """
import json, tecken.settings as settings
print(json.dumps({name: value for name, value in vars(settings).items() if name.isupper()}, default=str))
"""


def load(**environ: str) -> subprocess.CompletedProcess[str]:
    """Settings are read once per process, so another environment needs another process."""
    return subprocess.run(
        [sys.executable, "-c", SHOW], env=environ, cwd=BASE_DIR, capture_output=True, text=True, check=False
    )


def test_nothing_is_required_to_load_them() -> None:
    assert load().returncode == 0


def test_all_problems_are_reported_at_once() -> None:
    told = load(FAILED_LOGINS="few", UPLOAD_THREADS="many", DEBUG="yes please").stderr
    assert all(name in told for name in ("FAILED_LOGINS", "UPLOAD_THREADS", "DEBUG"))


@pytest.mark.parametrize(
    "url",
    [
        "localhost:6379",
        "http://localhost",
        "redis://",
        "redis://:p@ss#w/x@127.0.0.1:7394/0",
        "redis://host/zero",
        "redis://host:port",
        "redis://host/0?db=1",
        "redis://one,two/0",
        "sentinel://host",
        "sentinel://:p@ss@host/master",
        "sentinel://host,/master",
        "sentinel://host/master?password=secret",
        "redis-cluster://",
        "redis-cluster://one,/0",
        "redis-cluster://one,two/1",
        "redis-cluster://:p@ss@one,two",
    ],
)
def test_a_url_that_would_name_another_server_names_none(url: str) -> None:
    settings = json.loads(load(REDIS_STORE_URL=url).stdout)
    assert settings["MALFORMED"].keys() == {"REDIS_STORE_URL"}
    assert settings["CACHES"]["store"]["LOCATION"] == "redis://redis-url-is-malformed.invalid/0"


@pytest.mark.parametrize("url", ["redis://h", "redis://h:1", "redis://h:1/", "redis://h:1/7"])
def test_each_role_has_its_database_whatever_the_url_says(url: str) -> None:
    settings = json.loads(load(REDIS_URL=url, REDIS_STORE_URL=url).stdout)
    server = url.removesuffix("/7").removesuffix("/")
    assert settings["CACHES"]["default"]["LOCATION"] == f"{server}/0"
    assert settings["CACHES"]["store"]["LOCATION"] == f"{server}/0"
    assert settings["CELERY_BROKER_URL"] == f"{server}/1"


def test_credentials_and_tls_are_kept() -> None:
    settings = json.loads(load(REDIS_URL="rediss://ted:p%40ss@[::1]:6380/3").stdout)
    assert settings["CELERY_BROKER_URL"] == "rediss://ted:p%40ss@[::1]:6380/1"


def test_each_role_has_its_database_behind_sentinels() -> None:
    url = "sentinels://ted:p%2Css@h:1,i/master/7?sentinel_password=p%40"
    settings = json.loads(load(REDIS_URL=url, REDIS_STORE_URL="sentinel://h/other").stdout)
    first = "sentinels://ted:p%2Css@h:1%2Ci/master/0?sentinel_password=p%40"  # django-redis cuts at commas
    assert settings["CACHES"]["default"]["LOCATION"] == first
    assert settings["CACHES"]["store"]["LOCATION"] == "sentinel://h/other/0"


@pytest.mark.parametrize("scheme", ["redis-cluster", "rediss-cluster"])
def test_only_the_store_may_be_a_cluster(scheme: str) -> None:
    url = f"{scheme}://ted:p%40ss@one:7000,two"
    settings = json.loads(load(REDIS_URL=url, REDIS_STORE_URL=url).stdout)
    assert list(settings["MALFORMED"]) == ["REDIS_URL"]
    assert "must not be a cluster" in settings["MALFORMED"]["REDIS_URL"]
    assert settings["CACHES"]["store"]["LOCATION"] == f"{scheme}://ted:p%40ss@one:7000%2Ctwo/0"


@pytest.mark.parametrize(
    ("url", "location"),
    [
        ("rediss://h", "rediss://h/0?ssl_ca_certs=%2Fetc%2Fca.pem"),
        ("sentinels://h/m", "sentinels://h/m/0?ssl_ca_certs=%2Fetc%2Fca.pem"),
        (
            "sentinels://h/m?sentinel_password=p",
            "sentinels://h/m/0?sentinel_password=p&ssl_ca_certs=%2Fetc%2Fca.pem",
        ),
        ("redis://h", "redis://h/0"),
        ("sentinel://h/m", "sentinel://h/m/0"),
    ],
)
def test_an_authority_of_ones_own_is_told_to_whoever_speaks_tls(url: str, location: str) -> None:
    settings = json.loads(load(REDIS_URL=url, REDIS_CA_FILE="/etc/ca.pem").stdout)
    assert settings["CACHES"]["default"]["LOCATION"] == location
    assert "ssl_ca_certs" not in settings["CELERY_BROKER_URL"]
    asked = settings.get("CELERY_BROKER_USE_SSL", {}).get("ssl_ca_certs")
    assert asked == ("/etc/ca.pem" if "ca.pem" in location else None)


def test_the_queue_knows_its_sentinels() -> None:
    url = "sentinels://ted:p%2Css@h:1,i/master/7?sentinel_password=p%40"
    settings = json.loads(load(REDIS_URL=url).stdout)
    options = settings["CELERY_BROKER_TRANSPORT_OPTIONS"]
    assert settings["CELERY_BROKER_URL"] == "sentinel://ted:p%2Css@h:1/1;sentinel://ted:p%2Css@i/1"
    assert options["master_name"] == "master"
    assert options["sentinel_kwargs"] == {
        "password": "p@",
        "socket_timeout": 1.0,
        "socket_connect_timeout": 1.0,
        "retry": None,
        "ssl": True,
    }


@pytest.mark.parametrize("url", ["rediss://h", "sentinels://h/master"])
def test_the_queue_believes_no_certificate_that_it_cannot_check(url: str) -> None:
    assert json.loads(load(REDIS_URL=url).stdout)["CELERY_BROKER_USE_SSL"] == {
        "ssl_cert_reqs": ssl.CERT_REQUIRED
    }


def test_a_password_may_have_a_comma() -> None:
    settings = json.loads(load(REDIS_URL="redis://:a,b@h").stdout)
    assert settings["CACHES"]["default"]["LOCATION"] == "redis://:a%2Cb@h/0"


def test_without_a_url_no_server_is_guessed() -> None:
    settings = json.loads(load().stdout)
    assert settings["CACHES"]["default"]["LOCATION"] == "redis://redis-url-is-not-set.invalid/0"
    assert settings["CELERY_BROKER_URL"] == "redis://redis-url-is-not-set.invalid/1"


def test_a_job_is_not_delivered_again_while_it_may_still_run() -> None:
    settings = json.loads(load(CONVERT_TIME_LIMIT_SECONDS="7200").stdout)
    transport, results = (
        settings["CELERY_BROKER_TRANSPORT_OPTIONS"],
        settings["CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS"],
    )
    patience = {
        settings["CELERY_VISIBILITY_TIMEOUT"],
        transport["visibility_timeout"],
        results["visibility_timeout"],
    }
    assert min(patience) > settings["CELERY_TASK_TIME_LIMIT"] > settings["CELERY_TASK_SOFT_TIME_LIMIT"]


def test_every_redis_wait_is_bounded() -> None:
    settings = json.loads(load().stdout)
    assert settings["CELERY_BROKER_TRANSPORT_OPTIONS"].keys() >= {"socket_timeout", "socket_connect_timeout"}
    for cache in settings["CACHES"].values():
        assert cache["OPTIONS"].keys() >= {"SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"}


def test_sqlite_has_its_options_and_no_other_database_does() -> None:
    def options(**environ: str) -> dict[str, object]:
        databases: dict[str, dict[str, dict[str, object]]] = json.loads(load(**environ).stdout)["DATABASES"]
        return databases["default"].get("OPTIONS", {})

    assert options()["transaction_mode"] == "IMMEDIATE"
    assert "transaction_mode" not in options(DATABASE_URL="postgres://db/tecken")
