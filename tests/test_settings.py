from __future__ import annotations

import json
import os
import runpy
import ssl
import subprocess
import sys
from typing import Any
from unittest.mock import patch

import pytest
from environs.exceptions import EnvValidationError

from tecken.settings import BASE_DIR


def load(**environ: str) -> dict[str, Any]:
    """Return the settings of this environment, which are read again: a process imports them once.

    Values are those of JSON; others are text.
    """
    with patch.dict(os.environ, environ, clear=True):
        values = runpy.run_path(str(BASE_DIR / "tecken" / "settings.py"))
    upper = {name: value for name, value in values.items() if name.isupper()}
    settings: dict[str, Any] = json.loads(json.dumps(upper, default=str))
    return settings


def test_settings_without_environment_load() -> None:
    """In a process of their own: they must import nothing that needs Django's settings."""
    subprocess.run([sys.executable, "-c", "import tecken.settings"], env={}, cwd=BASE_DIR, check=True)


def test_settings_with_several_problems_report_all() -> None:
    with pytest.raises(EnvValidationError) as raised:
        load(FAILED_LOGINS="few", UPLOAD_THREADS="many", DEBUG="yes please")
    assert all(name in str(raised.value) for name in ("FAILED_LOGINS", "UPLOAD_THREADS", "DEBUG"))


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
def test_redis_url_malformed_names_no_server(url: str) -> None:
    settings = load(REDIS_STORE_URL=url)
    assert settings["MALFORMED"].keys() == {"REDIS_STORE_URL"}
    assert settings["CACHES"]["store"]["LOCATION"] == "redis://redis-url-is-malformed.invalid/0"


@pytest.mark.parametrize("url", ["redis://h", "redis://h:1", "redis://h:1/", "redis://h:1/7"])
def test_redis_url_with_any_number_gives_each_role_its_database(url: str) -> None:
    settings = load(REDIS_URL=url, REDIS_STORE_URL=url)
    server = url.removesuffix("/7").removesuffix("/")
    assert settings["CACHES"]["default"]["LOCATION"] == f"{server}/0"
    assert settings["CACHES"]["store"]["LOCATION"] == f"{server}/0"
    assert settings["CELERY_BROKER_URL"] == f"{server}/1"


def test_redis_url_keeps_account_and_tls() -> None:
    settings = load(REDIS_URL="rediss://ted:p%40ss@[::1]:6380/3")
    assert settings["CELERY_BROKER_URL"] == "rediss://ted:p%40ss@[::1]:6380/1"


def test_sentinel_url_gives_each_role_its_database() -> None:
    url = "sentinels://ted:p%2Css@h:1,i/master/7?sentinel_password=p%40"
    settings = load(REDIS_URL=url, REDIS_STORE_URL="sentinel://h/other")
    first = "sentinels://ted:p%2Css@h:1%2Ci/master/0?sentinel_password=p%40"  # django-redis cuts at commas
    assert settings["CACHES"]["default"]["LOCATION"] == first
    assert settings["CACHES"]["store"]["LOCATION"] == "sentinel://h/other/0"


@pytest.mark.parametrize("scheme", ["redis-cluster", "rediss-cluster"])
def test_cluster_url_is_allowed_for_the_store_only(scheme: str) -> None:
    url = f"{scheme}://ted:p%40ss@one:7000,two"
    settings = load(REDIS_URL=url, REDIS_STORE_URL=url)
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
def test_redis_ca_file_is_used_for_tls_urls_only(url: str, location: str) -> None:
    settings = load(REDIS_URL=url, REDIS_CA_FILE="/etc/ca.pem")
    assert settings["CACHES"]["default"]["LOCATION"] == location
    assert "ssl_ca_certs" not in settings["CELERY_BROKER_URL"]
    asked = settings.get("CELERY_BROKER_USE_SSL", {}).get("ssl_ca_certs")
    assert asked == ("/etc/ca.pem" if "ca.pem" in location else None)


def test_sentinel_url_gives_the_queue_its_sentinels() -> None:
    url = "sentinels://ted:p%2Css@h:1,i/master/7?sentinel_password=p%40"
    settings = load(REDIS_URL=url)
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
def test_tls_url_makes_the_queue_check_certificates(url: str) -> None:
    assert load(REDIS_URL=url)["CELERY_BROKER_USE_SSL"] == {"ssl_cert_reqs": ssl.CERT_REQUIRED}


def test_redis_url_password_with_a_comma_is_encoded() -> None:
    settings = load(REDIS_URL="redis://:a,b@h")
    assert settings["CACHES"]["default"]["LOCATION"] == "redis://:a%2Cb@h/0"


def test_redis_url_unset_names_no_server() -> None:
    settings = load()
    assert settings["CACHES"]["default"]["LOCATION"] == "redis://redis-url-is-not-set.invalid/0"
    assert settings["CELERY_BROKER_URL"] == "redis://redis-url-is-not-set.invalid/1"


def test_visibility_timeout_exceeds_the_time_limit_of_a_job() -> None:
    settings = load(CONVERT_TIME_LIMIT_SECONDS="7200")
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


def test_redis_connections_have_timeouts() -> None:
    settings = load()
    assert settings["CELERY_BROKER_TRANSPORT_OPTIONS"].keys() >= {"socket_timeout", "socket_connect_timeout"}
    for cache in settings["CACHES"].values():
        assert cache["OPTIONS"].keys() >= {"SOCKET_TIMEOUT", "SOCKET_CONNECT_TIMEOUT"}


def database_options(**environ: str) -> dict[str, object]:
    databases: dict[str, dict[str, dict[str, object]]] = load(**environ)["DATABASES"]
    return databases["default"].get("OPTIONS", {})


def test_sqlite_options_are_set_for_sqlite_only() -> None:
    assert database_options()["transaction_mode"] == "IMMEDIATE"
    assert "transaction_mode" not in database_options(DATABASE_URL="postgres://db/tecken")


def test_postgres_connections_have_timeouts_unless_the_url_has_others() -> None:
    options = database_options(DATABASE_URL="postgres://db/tecken?connect_timeout=7")
    assert options["connect_timeout"] == 7
    assert options["tcp_user_timeout"] == 5000
