"""Settings: all values that are decided at deployment. docs/configuration.md explains each.

This is the only module that reads the environment. It imports nothing of the site that needs Django.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dj_database_url
from environs import Env, validate

from tecken.jobs.keys import CONVERT, HOUSEKEEPING, QUEUES, UPLOAD
from tecken.redisclient.urls import (
    broker_sentinel_options,
    broker_tls_options,
    broker_url,
    check_cache_url,
    check_store_url,
    database_url,
)

BASE_DIR = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
MALFORMED: dict[str, str] = {}
"""Problems of Redis URLs, by the name of the variable. The preflight reports them."""


def checked_url(name: str, url: str, check: Callable[[str], None]) -> str:
    """Return `url`, the value of the variable `name`, or one of a host that cannot exist if it is malformed.

    A malformed URL raises nothing here, because commands such as `migrate` need no Redis server.
    """
    try:
        check(url)
    except ValueError as error:
        MALFORMED[name] = str(error)
        return "redis://redis-url-is-malformed.invalid"
    return url


env = Env(eager=False)

ENVIRONMENT = env.str("ENVIRONMENT", "development")
DEMO_MODE = env.bool("DEMO_MODE", False)
SECRET_KEY = env.str("SECRET_KEY", "")
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
TECKEN_URL = env.str("TECKEN_URL", "")
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0)
HTTPS_ONLY = env.bool("HTTPS_ONLY", False)
HSTS_SECONDS = env.int("HSTS_SECONDS", 365 * 86_400)
SECURE_COOKIES = env.bool("SECURE_COOKIES", HTTPS_ONLY)

DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{BASE_DIR}/var/tecken.sqlite3")
REDIS_URL = checked_url("REDIS_URL", env.str("REDIS_URL", ""), check_cache_url)
REDIS_TIMEOUT_SECONDS = env.float("REDIS_TIMEOUT_SECONDS", 1.0)
REDIS_CONNECT_TIMEOUT_SECONDS = env.float("REDIS_CONNECT_TIMEOUT_SECONDS", 1.0)
REDIS_STORE_URL = checked_url("REDIS_STORE_URL", env.str("REDIS_STORE_URL", ""), check_store_url)
REDIS_STORE_TIMEOUT_SECONDS = env.float("REDIS_STORE_TIMEOUT_SECONDS", 0.5)
REDIS_STORE_CONNECT_TIMEOUT_SECONDS = env.float("REDIS_STORE_CONNECT_TIMEOUT_SECONDS", 0.5)
REDIS_CA_FILE = env.str("REDIS_CA_FILE", "")
REDIS_STARTUP_SECONDS = env.float("REDIS_STARTUP_SECONDS", 30.0)

STORAGE_URL = env.str("STORAGE_URL", f"file://{BASE_DIR}/var/storage")
TRY_STORAGE_URL = env.str("TRY_STORAGE_URL", "")
SYMBOL_SOURCES: list[str] = env.list("SYMBOL_SOURCES", [])
SYMBOL_PRESETS: list[str] = env.list(
    "SYMBOL_PRESETS", [], validate=validate.ContainsOnly(["debian", "fedora", "microsoft", "mozilla"])
)
CONVERT_TIME_LIMIT_SECONDS = env.int("CONVERT_TIME_LIMIT_SECONDS", 600)
SPOOL_DIR = env.str("SPOOL_DIR", None)

DOWNLOAD_EXTENSIONS: list[str] = env.list(
    "DOWNLOAD_EXTENSIONS", [".sym", ".dl_", ".ex_", ".pd_", ".dbg.gz", ".tar.bz2"]
)
WEB_THREADS = env.int("WEB_THREADS", 8)
UPLOAD_THREADS = env.int("UPLOAD_THREADS", 4)
ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS: list[str] = env.list("ALLOW_UPLOAD_BY_DOWNLOAD_DOMAINS", [])

SESSION_SECONDS = env.int("SESSION_SECONDS", 14 * 86_400)
FAILED_LOGINS = env.int("FAILED_LOGINS", 10)
OIDC_RP_CLIENT_ID = env.str("OIDC_RP_CLIENT_ID", "")
OIDC_NEEDS: dict[str, Any] = {} if OIDC_RP_CLIENT_ID else {"default": ""}
OIDC_RP_CLIENT_SECRET = env.str("OIDC_RP_CLIENT_SECRET", **OIDC_NEEDS)
OIDC_RP_SIGN_ALGO = env.str("OIDC_RP_SIGN_ALGO", "RS256")
OIDC_OP_AUTHORIZATION_ENDPOINT = env.str("OIDC_OP_AUTHORIZATION_ENDPOINT", **OIDC_NEEDS)
OIDC_OP_TOKEN_ENDPOINT = env.str("OIDC_OP_TOKEN_ENDPOINT", **OIDC_NEEDS)
OIDC_OP_USER_ENDPOINT = env.str("OIDC_OP_USER_ENDPOINT", **OIDC_NEEDS)
OIDC_OP_JWKS_ENDPOINT = env.str("OIDC_OP_JWKS_ENDPOINT", **OIDC_NEEDS)

RUNTIME_CONFIG_WATCHER = env.str(
    "RUNTIME_CONFIG_WATCHER", "", validate=validate.OneOf(["", "redis", "file", "memory"])
)
RUNTIME_CONFIG_CHANNEL = env.str("RUNTIME_CONFIG_CHANNEL", "tecken:config")
RUNTIME_CONFIG_INTERVAL_SECONDS = env.float(
    "RUNTIME_CONFIG_INTERVAL_SECONDS", 1.0, validate=validate.Range(min=0.05, max=3600)
)
RUNTIME_CONFIG_FILE = env.str("RUNTIME_CONFIG_FILE", f"{BASE_DIR}/var/runtime-config.json")

WORKER_MAX_MEMORY_KIB = env.int("WORKER_MAX_MEMORY_KIB", 512 * 1024)
WORKER_MAX_TASKS = env.int("WORKER_MAX_TASKS", 500)
HEALTH_CHECK_SECONDS = env.float("HEALTH_CHECK_SECONDS", 0.2, validate=validate.Range(min=0.01, max=60))
DRAIN_FILE = env.str("DRAIN_FILE", "")
LOG_FORMAT = env.str("LOG_FORMAT", "line", validate=validate.OneOf(["line", "json"]))
OTEL_EXPORTER_OTLP_ENDPOINT = env.str("OTEL_EXPORTER_OTLP_ENDPOINT", "")
SENTRY_DSN = env.str("SENTRY_DSN", "")
WORKER_METRICS_PORT = env.int("WORKER_METRICS_PORT", 0)
# The metrics library reads the variable itself, too.
PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", "")

env.seal()

# Commands are other processes and cannot reach a configuration in memory, so that of a demo is in a file.
if DEMO_MODE:
    REDIS_URL, REDIS_STORE_URL = "memory://redis-cache", "memory://redis-store"
    RUNTIME_CONFIG_WATCHER = RUNTIME_CONFIG_WATCHER or "file"
    SECRET_KEY = SECRET_KEY or secrets.token_urlsafe(48)
    CELERY_BROKER_TRANSPORT = "tecken.demo.site:MemoryTransport"

INSTALLED_APPS = [
    "django.contrib.contenttypes",
    "django.contrib.auth",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "axes",
    "tecken",
    "tecken.download",
    "tecken.limits",
    "tecken.apps.PreflightConfig",
    "tecken.apps.RuntimeConfigConfig",
    "tecken.storage",
    "tecken.apps.TokensConfig",
    "tecken.upload",
    "tecken.web",
    "tecken.apps.SiteConfig",
]
MIDDLEWARE = [
    "tecken.web.middleware.collapse_slashes",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tecken.web.middleware.set_policy",
    "tecken.web.middleware.check_maintenance",
    "tecken.web.middleware.pin_options",
    "tecken.http.responses.compression_middleware",
    "tecken.web.error_pages.render_for_browsers",
    "tecken.web.middleware.people_middleware",
]
SILENCED_SYSTEM_CHECKS = [
    # `people_middleware` applies the middleware that these checks miss in MIDDLEWARE.
    *("admin.E408", "admin.E409", "admin.E410", "axes.W002"),
    # docs/security.md explains both.
    *("security.W003", "security.W021"),
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "tecken.demo.site.banner",
            ]
        },
    }
]
STATIC_URL = "/static/"
# Files are served from where they are installed, so that no `collectstatic` is needed.
WHITENOISE_USE_FINDERS = True
ROOT_URLCONF = "tecken.urls"
WSGI_APPLICATION = "tecken.wsgi.application"
# A redirect to the path with a slash would turn a POST into a GET.
APPEND_SLASH = False
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FILE_UPLOAD_HANDLERS = ["tecken.upload.form.NoFiles"]
# Limit of forms and JSON. Files and stacks have their own limits.
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * MIB
DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write. IMMEDIATE takes the write lock before the first read; otherwise two
    # transactions that read and then write would fail with "database is locked". With WAL, readers never wait
    # for a writer.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }
elif DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    # By default, a process that is cut off from the database waits until the kernel gives up its connection,
    # which takes a quarter of an hour. `tcp_user_timeout` (in milliseconds) bounds the time for a query to
    # arrive, and keepalives the time for its response when the server no longer exists. Parameters in the URL
    # have precedence.
    DATABASES["default"]["OPTIONS"] = {
        "connect_timeout": 3,
        "tcp_user_timeout": 5000,
        "keepalives_idle": 5,
        "keepalives_interval": 1,
        "keepalives_count": 5,
        **DATABASES["default"].get("OPTIONS", {}),
    }

# People log in with a password or at an OpenID Connect provider; programs send tokens.

SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SESSION_COOKIE_AGE = SESSION_SECONDS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
CSRF_FAILURE_VIEW = "tecken.web.auth.reject_forgery"
SECURE_SSL_REDIRECT = HTTPS_ONLY
# Monitoring requests these URLs directly, not through the proxy that adds HTTPS.
SECURE_REDIRECT_EXEMPT = [r"^(__\w+__|health(/\w+)?|metrics)$"]
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
# Without a trusted proxy, any client could send this header.
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_VERBOSE = AXES_ENABLE_ADMIN = False
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_FAILURE_LIMIT = FAILED_LOGINS
AXES_COOLOFF_TIME = "tecken.accounts.addresses.login_pause"
AXES_LOCKOUT_CALLABLE = "tecken.web.error_pages.reject_login"
# Only both together are locked out: otherwise anyone could lock out a user, or a whole company's address.
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "tecken.accounts.addresses.address"

# mozilla-django-oidc reads these settings and the OIDC_* ones above. Without a client id it is off.

OIDC_TIMEOUT = 10
OIDC_USE_PKCE = True
OIDC_RP_SCOPES = "openid email"
LOGIN_URL = "/oidc/authenticate/" if OIDC_RP_CLIENT_ID else "/login/"
LOGIN_REDIRECT_URL = LOGOUT_REDIRECT_URL = LOGIN_REDIRECT_URL_FAILURE = "/"
if OIDC_RP_CLIENT_ID:
    AUTHENTICATION_BACKENDS.append("tecken.accounts.oidc.Backend")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"ours": {"()": "tecken.monitoring.logs.formatter"}},
    "filters": {
        "only_tracebacks": {"()": "tecken.monitoring.logs.OnlyTracebacks"},
        "routine": {"()": "tecken.monitoring.logs.Routine"},
        "without_traceback": {"()": "tecken.monitoring.logs.WithoutTraceback"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["only_tracebacks"]},
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
        "uvicorn": {"level": "WARNING"},
        "celery.app.trace": {"filters": ["routine"]},
        "celery.beat": {"filters": ["routine"]},
        "celery.worker.strategy": {"filters": ["routine"]},
    },
}

# On redis-cache the cache has database 0, the queue 1, the runtime configuration 2, limits and counters 3;
# redis-store has 0 only. Cache errors must raise: swallowing them would report an outage as "not found".

RUNTIME_CONFIG_URL = database_url(REDIS_URL, 2, REDIS_CA_FILE)
REDIS_COUNTERS_URL = database_url(REDIS_URL, 3, REDIS_CA_FILE)
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": database_url(REDIS_URL, 0, REDIS_CA_FILE),
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_CONNECT_TIMEOUT": REDIS_CONNECT_TIMEOUT_SECONDS,
            "CONNECTION_POOL_CLASS": "tecken.redisclient.Pools",
        },
    },
    "store": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": database_url(REDIS_STORE_URL, 0, REDIS_CA_FILE),
        "TIMEOUT": None,
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_TIMEOUT": REDIS_STORE_TIMEOUT_SECONDS,
            "SOCKET_CONNECT_TIMEOUT": REDIS_STORE_CONNECT_TIMEOUT_SECONDS,
            "CONNECTION_POOL_CLASS": "tecken.redisclient.Pools",
            "REDIS_CLIENT_CLASS": "tecken.redisclient.client_of",
        },
    },
}

# A job that is not acknowledged is delivered again, so every task must be safe to run twice. The visibility
# timeout, which Celery reads in three places, is longer than a worker can hold a job: until its time has come
# (tecken.jobs.task.LONGEST_PAUSE), until a process is free, and until it is done. Jobs of a worker that has
# died are returned earlier (tecken.jobs.worker). Without a socket timeout, a publish to a broker that does
# not answer would wait for ever. It is longer than one second, because a worker's BRPOP takes that long.

REDIS_QUEUE_URL = database_url(REDIS_URL, 1, REDIS_CA_FILE)
CELERY_BROKER_URL = broker_url(REDIS_URL, 1)
CELERY_BROKER_USE_SSL = broker_tls_options(REDIS_URL, REDIS_CA_FILE)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
# Without a limit: a worker waits for Redis as long as necessary.
CELERY_BROKER_CONNECTION_MAX_RETRIES = None
# These are errors of a server that is full or has become a replica.
CELERY_BROKER_CHANNEL_ERROR_RETRY = True
CELERY_WORKER_CONSUMER = "tecken.jobs.worker:Consumer"
CELERY_TASK_SOFT_TIME_LIMIT = CONVERT_TIME_LIMIT_SECONDS
CELERY_TASK_TIME_LIMIT = CONVERT_TIME_LIMIT_SECONDS + 30
CELERY_VISIBILITY_TIMEOUT = 2 * CELERY_TASK_TIME_LIMIT + 660
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"visibility_timeout": CELERY_VISIBILITY_TIMEOUT}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
    "socket_timeout": 1 + REDIS_TIMEOUT_SECONDS,
    "socket_connect_timeout": REDIS_CONNECT_TIMEOUT_SECONDS,
    "socket_keepalive": True,
    # No socket timeout applies to the connection on which a worker waits for jobs. kombu drops it when it has
    # not answered for at most two intervals and the second of BRPOP: 7 s, or 51 with the default of 25.
    "health_check_interval": 3,
    **broker_sentinel_options(
        REDIS_URL,
        timeout=REDIS_TIMEOUT_SECONDS,
        connect_timeout=REDIS_CONNECT_TIMEOUT_SECONDS,
        ca_file=REDIS_CA_FILE,
    ),
}
# A request must not wait for kombu's attempts; its client gets an error at once.
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
# A job that ends its process every time is bounded by tecken.jobs.task, which counts the starts.
CELERY_TASK_REJECT_ON_WORKER_LOST = True
CELERY_TASK_ACKS_ON_FAILURE = True
# A timeout ends the process of the job, too, so that the start counts.
CELERY_TASK_ACKS_ON_TIMEOUT = False
CELERY_TASK_QUEUES = {name: {"exchange": name, "routing_key": name} for name in QUEUES}
CELERY_TASK_DEFAULT_QUEUE = HOUSEKEEPING
CELERY_TASK_ROUTES = {
    "tecken.symbolicate.tasks.*": {"queue": CONVERT},
    "tecken.upload.tasks.keep_upload": {"queue": UPLOAD},
}
CELERY_BEAT_SCHEDULER = "tecken.jobs.beat:OneBeat"
CELERY_BEAT_SCHEDULE = {
    "reconcile-runtime-configuration": {
        "task": "tecken.runtimeconfig.tasks.reconcile",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "write-misses": {
        "task": "tecken.download.tasks.write_misses",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "remove-old-uploads": {
        "task": "tecken.upload.tasks.clean",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "roll-up-usage": {
        "task": "tecken.limits.tasks.roll_up",
        "schedule": 300.0,
        "options": {"expires": 300.0},
    },
    "remove-old-fetched-symbols": {
        "task": "tecken.symbolication.tasks.clean_fetched",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "remove-old-minidumps": {
        "task": "tecken.symbolication.tasks.clean_minidumps",
        "schedule": 900.0,
        "options": {"expires": 900.0},
    },
    "remove-old-misses": {
        "task": "tecken.download.tasks.clean",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    "sample-redis": {
        "task": "tecken.health.tasks.sample",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "size-store": {
        "task": "tecken.health.tasks.size_store",
        "schedule": 300.0,
        "options": {"expires": 300.0},
    },
    "forget-lost-jobs": {
        "task": "tecken.jobs.tasks.clean",
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
    },
    **{
        f"canary-{queue}": {
            "task": "tecken.jobs.tasks.canary",
            "args": [queue],
            "schedule": 15.0,
            "options": {"queue": queue, "expires": 60.0},
        }
        for queue in QUEUES
    },
}
# A worker that takes more jobs than it runs would keep them from idle workers.
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = WORKER_MAX_TASKS
CELERY_WORKER_MAX_MEMORY_PER_CHILD = WORKER_MAX_MEMORY_KIB
# Celery would otherwise replace the handlers of LOGGING, which mask secrets.
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
