"""HTTP client of the site, and the account with which a run sends its requests.

The client has no cookie and keeps to one deadline. Without a URL it calls the site's code in this process, so
that the same requests run everywhere.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from secrets import token_hex
from threading import Event
from typing import Any, Self

import certifi
import httpx
from django.conf import settings
from django.contrib.auth.models import User
from django.core.handlers.wsgi import WSGIHandler
from django.utils import timezone

from tecken import __version__
from tecken.accounts.tokens import find_permissions, issue
from tecken.doctor.checks import CheckEnded, CheckFinding, failed
from tecken.errors import redact_url

REQUEST_SECONDS = 8.0
# Accounts of runs that were killed are removed by a later run.
STALE_AFTER = timedelta(minutes=15)
TOKEN_DAYS = 15 / 1440
# A host that cannot exist, so that no real user has such an address.
ADDRESS = "doctor-{}@doctor.invalid"


class Visitor:
    """Client of the site at `url`, or of the code in this process without one. A context manager."""

    def __init__(self, url: str, seconds: float = REQUEST_SECONDS) -> None:
        self.url = url.rstrip("/")
        self._ends_at = time.monotonic() + seconds
        transport = None if url else httpx.WSGITransport(app=WSGIHandler())
        self._client = httpx.Client(
            base_url=self.url or _inner_url(),
            transport=transport,
            verify=load_authorities(),
            headers={"User-Agent": f"tecken-doctor/{__version__}"},
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    @property
    def seconds_left(self) -> float:
        """Return the seconds until the deadline; 0 after `stop_requests`."""
        return 0.0 if _stopping.is_set() else self._ends_at - time.monotonic()

    def send(self, method: str, path: str, token: str = "", **options: Any) -> httpx.Response:
        """Send a request and return the response, whatever its status. Raises CheckEnded without one."""
        headers = options.pop("headers", {}) | ({"Auth-Token": token} if token else {})
        try:
            if self.seconds_left <= 0:
                raise httpx.TimeoutException("the time of this check is over")
            return self._client.request(method, path, headers=headers, timeout=self.seconds_left, **options)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise CheckEnded(describe_failure(self.url, error)) from error


_stopping = Event()


def stop_requests() -> None:
    """Let each check of this process end with its present request, and remove what it made."""
    _stopping.set()


def load_authorities() -> ssl.SSLContext:
    """Return the authorities of the system and those of certifi; SSL_CERT_FILE names others."""
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context


def _inner_url() -> str:
    """Return a URL that the site's code accepts in this process."""
    hosts = [host for host in settings.ALLOWED_HOSTS if host != "*"]
    host = hosts[0].lstrip(".") if hosts else "localhost"
    return f"{'https' if settings.SECURE_SSL_REDIRECT else 'http'}://{host}"


def read_date(url: str) -> datetime:
    """Return the time in the `Date` header of the site."""
    with Visitor(url) as visitor:
        date = parsedate_to_datetime(visitor.send("HEAD", "/__lbheartbeat__").headers["Date"])
    return date if date.tzinfo else date.replace(tzinfo=UTC)


# Failures

CERTIFICATE = "CERTIFICATE_VERIFY_FAILED"
CERTIFICATE_STEP = "Install a certificate for this name; SSL_CERT_FILE names the file of another authority."


def describe_failure(url: str, error: httpx.HTTPError | httpx.InvalidURL) -> CheckFinding:
    """Return the finding of a request that got no response."""
    place, text = redact_url(url) or "The site", str(error)
    if isinstance(error, httpx.TimeoutException):
        step = "Look for a firewall that drops packets, and whether the web server is overloaded."
        return failed(f"{place} does not answer in time.", step, transient=True)
    if CERTIFICATE in text:
        return failed(f"The certificate of {place} is not valid: {_reason(text)}.", CERTIFICATE_STEP)
    if "Name or service not known" in text or "No address" in text or "name resolution" in text:
        return failed(f"The host name of {place} cannot be resolved.", "Correct --url, or add it to the DNS.")
    step = "Start the web server and its proxy, or correct --url."
    return failed(f"{place} cannot be reached: {text or type(error).__name__}.", step, transient=True)


def _reason(text: str) -> str:
    return text.partition("verify failed: ")[2].partition(" (_ssl")[0] or text


# Account


@contextmanager
def temporary_token(*permissions: str) -> Iterator[str]:
    """Create an account with a token that has these permissions, and remove both afterwards.

    Its uploads are removed with it. The token ends by itself if this process is killed.
    """
    remove_stale_accounts()
    name = ADDRESS.format(token_hex(8))
    user = User(username=name, email=name)
    user.set_unusable_password()
    user.save()
    try:
        granted = list(find_permissions(permissions))
        user.user_permissions.set(granted)
        _token, key = issue(user, granted, TOKEN_DAYS, notes="manage.py doctor")
        yield key
    finally:
        user.delete()


def remove_stale_accounts() -> None:
    """Remove the accounts of runs that were killed."""
    before = timezone.now() - STALE_AFTER
    User.objects.filter(username__endswith=ADDRESS.partition("{}")[2], date_joined__lt=before).delete()
