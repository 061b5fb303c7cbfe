"""Every deploy-time value, and the only reader of the environment; docs/configuration.md explains each."""

from __future__ import annotations

import re
import secrets
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit

import dj_database_url
from environs import Env, ValidationError, validate

from tecken.jobs.keys import CONVERT, HOUSEKEEPING, QUEUES, UPLOAD
from tecken.redisclient import sentinels

BASE_DIR = Path(__file__).resolve().parent.parent
MIB = 1024 * 1024
USER, HOST = r"([^@/#?\s'\"<>]*@)?", r"[^@:/#?,\s[\]]+"
REDIS_URL_SHAPE = re.compile(rf"rediss?://{USER}({HOST}|\[[0-9a-fA-F:.]+\])(:\d{{1,5}})?(/\d*)?")
CLUSTER = re.compile("rediss?-cluster:")
CLUSTER_URL_SHAPE = re.compile(rf"rediss?-cluster://{USER}{HOST}(:\d{{1,5}})?(,{HOST}(:\d{{1,5}})?)*/?0?")
SENTINEL_URL_SHAPE = re.compile(
    rf"sentinels?://{USER}{HOST}(:\d{{1,5}})?(,{HOST}(:\d{{1,5}})?)*/[\w.-]+(/\d*)?"
    r"(\?sentinel_(user|pass)[^@/#?&\s]*(&sentinel_(user|pass)[^@/#?&\s]*)?)?"
)
SHAPES = {
    "redis": (REDIS_URL_SHAPE, "redis[s]://[[user]:password@]host[:port][/number]"),
    "sentinel": (
        SENTINEL_URL_SHAPE,
        "sentinel[s]://[[user]:password@]host[:port][,host[:port]...]/master[/number]",
    ),
    "cluster": (CLUSTER_URL_SHAPE, "redis[s]-cluster://[[user]:password@]host[:port][,host[:port]...]"),
}
MALFORMED: dict[str, str] = {}  # names of variables, and what is wrong with them


def well_formed(name: str, url: str, check: Callable[[str], None]) -> str:
    """`url`, or that of a host that cannot exist: commands need no Redis, and the checks at start say why."""
    try:
        check(url)
    except ValidationError as error:
        MALFORMED[name] = str(error)
        return "redis://redis-url-is-malformed.invalid"
    return url


def redis_url(url: str) -> None:
    """Raises ValidationError: an unescaped `@`, `#` or `/` in a password would silently name another host."""
    if CLUSTER.match(url):
        raise ValidationError(
            "must not be a cluster: that has database 0 only, and cache, queue, configuration and counters"
            " have one each. Use one server, or sentinel://. REDIS_STORE_URL may be a cluster"
        )
    store_url(url)


def store_url(url: str) -> None:
    """As redis_url; may be a cluster, too."""
    kind = "cluster" if CLUSTER.match(url) else "sentinel" if url.startswith("sentinel") else "redis"
    shape, text = SHAPES[kind]
    if url and not shape.fullmatch(url):
        raise ValidationError(f"must be {text}, %-encoded")


def database(url: str, number: int) -> str:
    """The same server, database NUMBER. Without a URL: a host that cannot exist and says what is missing.

    Commas are encoded, for django-redis ends a URL there. REDIS_CA_FILE travels in the query.
    """
    named = urlsplit(url or "redis://redis-url-is-not-set.invalid")
    master = f"/{named.path.split('/')[1]}" if named.scheme.startswith("sentinel") else ""
    return named._replace(
        netloc=named.netloc.replace(",", "%2C"),
        path=f"{master}/{number}",
        query="&".join(filter(None, [named.query, urlencode(trusted(url))])),
    ).geturl()


def trusted(url: str) -> dict[str, str]:
    """Whose certificates are believed, if not those the machine believes."""
    tls = url.startswith(("rediss", "sentinels"))
    return {"ssl_ca_certs": REDIS_CA_FILE} if tls and REDIS_CA_FILE else {}


def broker(url: str, number: int) -> str:
    """The same for the queue, which names each sentinel in a URL of its own."""
    named = urlsplit(url)
    if not named.scheme.startswith("sentinel"):
        return database(url, number).partition("?")[0]
    user, at, hosts = named.netloc.rpartition("@")
    return ";".join(f"sentinel://{user}{at}{host}/{number}" for host in hosts.split(","))


def broker_sentinels(url: str) -> dict[str, Any]:
    """What else the queue has to know of them."""
    named = sentinels(url)
    if named is None:
        return {}
    waits = {
        "socket_timeout": REDIS_TIMEOUT_SECONDS,
        "socket_connect_timeout": REDIS_CONNECT_TIMEOUT_SECONDS,
        "retry": None,  # else each is asked eleven times
    }
    sentinel_kwargs = {**named.own_account, **waits, **trusted(url), "ssl": named.tls}
    return {"master_name": named.master, "sentinel_kwargs": sentinel_kwargs}


def broker_tls(url: str) -> dict[str, Any]:
    """What the queue has to be told to check a certificate: by itself it believes any."""
    if not url.startswith(("rediss:", "sentinels:")):
        return {}
    return {"ssl_cert_reqs": ssl.CERT_REQUIRED, **trusted(url)}


env = Env(eager=False)

ENVIRONMENT = env.str("ENVIRONMENT", "development")
DEMO_MODE = env.bool("DEMO_MODE", False)
SECRET_KEY = env.str("SECRET_KEY", "")
DEBUG = env.bool("DEBUG", False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
TRUSTED_PROXIES = env.int("TRUSTED_PROXIES", 0)
HTTPS_ONLY = env.bool("HTTPS_ONLY", False)
HSTS_SECONDS = env.int("HSTS_SECONDS", 365 * 86_400)
SECURE_COOKIES = env.bool("SECURE_COOKIES", HTTPS_ONLY)

DATABASE_URL = env.str("DATABASE_URL", f"sqlite:///{BASE_DIR}/var/tecken.sqlite3")
REDIS_URL = well_formed("REDIS_URL", env.str("REDIS_URL", ""), redis_url)
REDIS_TIMEOUT_SECONDS = env.float("REDIS_TIMEOUT_SECONDS", 1.0)
REDIS_CONNECT_TIMEOUT_SECONDS = env.float("REDIS_CONNECT_TIMEOUT_SECONDS", 1.0)
REDIS_STORE_URL = well_formed("REDIS_STORE_URL", env.str("REDIS_STORE_URL", ""), store_url)
REDIS_STORE_TIMEOUT_SECONDS = env.float("REDIS_STORE_TIMEOUT_SECONDS", 0.5)
REDIS_STORE_CONNECT_TIMEOUT_SECONDS = env.float("REDIS_STORE_CONNECT_TIMEOUT_SECONDS", 0.5)
REDIS_CA_FILE = env.str("REDIS_CA_FILE", "")
REDIS_STARTUP_SECONDS = env.float("REDIS_STARTUP_SECONDS", 30.0)

STORAGE_URL = env.str("STORAGE_URL", f"file://{BASE_DIR}/var/storage")
TRY_STORAGE_URL = env.str("TRY_STORAGE_URL", "")
SYMBOL_SOURCES: list[str] = env.list("SYMBOL_SOURCES", [])
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
PROMETHEUS_MULTIPROC_DIR = env.str("PROMETHEUS_MULTIPROC_DIR", "")  # the library reads it itself, too

env.seal()

if DEMO_MODE:  # a configuration in a file is one that commands reach, too
    REDIS_URL, REDIS_STORE_URL = "memory://redis-cache", "memory://redis-store"
    RUNTIME_CONFIG_WATCHER = RUNTIME_CONFIG_WATCHER or "file"
    SECRET_KEY = SECRET_KEY or secrets.token_urlsafe(48)
    CELERY_BROKER_TRANSPORT = "tecken.demo.queue:Transport"

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
    "tecken.monitoring.preflight",
    "tecken.runtimeconfig",
    "tecken.accounts",
    "tecken.upload",
    "tecken.web",
    "tecken.accounts.apps.SiteConfig",
]
MIDDLEWARE = [
    "tecken.web.middleware.collapse_slashes",
    "django.middleware.security.SecurityMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "tecken.web.middleware.set_policy",
    "tecken.web.middleware.check_maintenance",
    "tecken.web.middleware.pin_options",
    "tecken.http.compression.compressed",
    "tecken.web.error_pages.render_for_browsers",
    "tecken.accounts.middleware.for_people",
]
SILENCED_SYSTEM_CHECKS = [
    *("admin.E408", "admin.E409", "admin.E410", "axes.W002"),  # for_people has them all
    *("security.W003", "security.W021"),  # docs/security.md says why
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
WHITENOISE_USE_FINDERS = True  # read where they are installed, so there is nothing to collect
ROOT_URLCONF = "tecken.urls"
WSGI_APPLICATION = "tecken.wsgi.application"
APPEND_SLASH = False
TIME_ZONE = "UTC"
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
FILE_UPLOAD_HANDLERS = ["tecken.upload.form.NoFiles"]
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * MIB  # of forms and JSON; files and stacks have their own limits
DATABASES = {"default": dj_database_url.parse(DATABASE_URL, conn_max_age=600, conn_health_checks=True)}
if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # Several processes write: each takes its turn before it reads, and readers wait for nobody.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode = WAL",
    }

# People log in with a password (the admin's page) or at a provider; programs have tokens.

SESSION_ENGINE = "django.contrib.sessions.backends.cache"
SESSION_COOKIE_AGE = SESSION_SECONDS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = SECURE_COOKIES
CSRF_FAILURE_VIEW = "tecken.web.auth.reject_forgery"
SECURE_SSL_REDIRECT = HTTPS_ONLY
SECURE_REDIRECT_EXEMPT = [r"^(__\w+__|health(/\w+)?|metrics)$"]  # is asked from inside, beside the proxy
SECURE_HSTS_SECONDS = HSTS_SECONDS if HTTPS_ONLY else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = True
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if TRUSTED_PROXIES else None
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",
    "django.contrib.auth.backends.ModelBackend",
]
AXES_VERBOSE = AXES_ENABLE_ADMIN = False
AXES_HANDLER = "axes.handlers.cache.AxesCacheHandler"
AXES_FAILURE_LIMIT = FAILED_LOGINS
AXES_COOLOFF_TIME = "tecken.accounts.failures.login_pause"
AXES_LOCKOUT_CALLABLE = "tecken.web.error_pages.reject_login"
AXES_LOCKOUT_PARAMETERS = [["username", "ip_address"]]
AXES_CLIENT_IP_CALLABLE = "tecken.accounts.client_address.address"

# Off unless a client id is set. mozilla-django-oidc reads these, and the OIDC_* ones above, itself.

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
    "formatters": {"ours": {"()": "tecken.monitoring.logs.formats.formatter"}},
    "filters": {
        "only_mistakes": {"()": "tecken.monitoring.logs.formats.OnlyMistakes"},
        "routine": {"()": "tecken.monitoring.logs.formats.Routine"},
        "without_traceback": {"()": "tecken.monitoring.logs.formats.WithoutTraceback"},
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "ours"}},
    "root": {"handlers": ["stderr"], "level": "INFO"},
    "loggers": {
        "django.request": {"level": "ERROR", "filters": ["only_mistakes"]},
        "django.security.DisallowedHost": {"filters": ["without_traceback"]},
        "uvicorn": {"level": "WARNING"},
        "celery.app.trace": {"filters": ["routine"]},
        "celery.beat": {"filters": ["routine"]},
        "celery.worker.strategy": {"filters": ["routine"]},
    },
}

# On redis-cache the cache has database 0, the queue 1, runtime configuration 2, limits and counters 3;
# redis-store has 0 only. Errors are not ignored: that would turn "don't know" into "no".

RUNTIME_CONFIG_URL = database(REDIS_URL, 2)
REDIS_COUNTERS_URL = database(REDIS_URL, 3)
CACHES: dict[str, dict[str, Any]] = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": database(REDIS_URL, 0),
        "OPTIONS": {
            "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            "SOCKET_TIMEOUT": REDIS_TIMEOUT_SECONDS,
            "SOCKET_CONNECT_TIMEOUT": REDIS_CONNECT_TIMEOUT_SECONDS,
            "CONNECTION_POOL_CLASS": "tecken.redisclient.Pools",
        },
    },
    "store": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": database(REDIS_STORE_URL, 0),
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

# A job that is not acknowledged is delivered again, so every task must be safe to run twice, and the
# visibility timeout (wanted in three places) is longer than a worker may have a job: until its time has come
# (tecken.jobs.task.LONGEST_PAUSE), until a process is free, and until it is done. Jobs of a worker that is
# gone do not wait for it (tecken.jobs.heartbeat). Without a socket timeout a publish to a broker that does
# not answer would wait for ever; a worker's BRPOP alone may take one second.

REDIS_QUEUE_URL = database(REDIS_URL, 1)
CELERY_BROKER_URL = broker(REDIS_URL, 1)
CELERY_BROKER_USE_SSL = broker_tls(REDIS_URL)
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # a worker waits for Redis as long as it takes
CELERY_BROKER_CHANNEL_ERROR_RETRY = True  # of a server that is full or has become a replica
CELERY_WORKER_CONSUMER = "tecken.jobs.consumer:Consumer"
CELERY_TASK_SOFT_TIME_LIMIT = CONVERT_TIME_LIMIT_SECONDS
CELERY_TASK_TIME_LIMIT = CONVERT_TIME_LIMIT_SECONDS + 30
CELERY_VISIBILITY_TIMEOUT = 2 * CELERY_TASK_TIME_LIMIT + 660
CELERY_RESULT_BACKEND_TRANSPORT_OPTIONS = {"visibility_timeout": CELERY_VISIBILITY_TIMEOUT}
CELERY_BROKER_TRANSPORT_OPTIONS = {
    "visibility_timeout": CELERY_VISIBILITY_TIMEOUT,
    "socket_timeout": 1 + REDIS_TIMEOUT_SECONDS,
    "socket_connect_timeout": REDIS_CONNECT_TIMEOUT_SECONDS,
    "socket_keepalive": True,
    "health_check_interval": 25,
    **broker_sentinels(REDIS_URL),
}
CELERY_TASK_PUBLISH_RETRY = False
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_ACKS_LATE = True
CELERY_TASK_REJECT_ON_WORKER_LOST = True  # and tecken.jobs.task counts how often
CELERY_TASK_ACKS_ON_FAILURE = True
CELERY_TASK_ACKS_ON_TIMEOUT = False  # which ends its process, too
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
        "schedule": 3600.0,
        "options": {"expires": 3600.0},
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
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_MAX_TASKS_PER_CHILD = WORKER_MAX_TASKS
CELERY_WORKER_MAX_MEMORY_PER_CHILD = WORKER_MAX_MEMORY_KIB
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
