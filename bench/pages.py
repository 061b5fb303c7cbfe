"""CPU time of the web process for each page: `python -m bench.pages [--requests 50] [NAME ...]`.

Starts a whole site with the content of the browser tests, logs in as a superuser, and opens each page several
times over one connection. The time is that of the web process and its children, so other processes change it
little. tests/web/test_page_cost.py bounds what does not depend on the machine: bytes, queries and commands.
"""

from __future__ import annotations

import argparse
import logging
import os
import re
from pathlib import Path
from tempfile import TemporaryDirectory

import django
import httpx

from bench import rig

HTML = {"Accept": "text/html"}
# The first requests fill the caches of the process.
WARM_REQUESTS = 5


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help="pages by the names of their URLs; else all")
    parser.add_argument("--requests", type=int, default=50)
    options = parser.parse_args()
    os.environ.update(DJANGO_SETTINGS_MODULE="tecken.settings", SECRET_KEY="bench")
    django.setup()
    logging.getLogger("httpx").setLevel(logging.WARNING)
    # Only now is Django set up.
    from tests.browser.pages import NAMES, path  # noqa: PLC0415
    from tests.browser.site import OPERATOR, PASSWORD, BrowsedSite  # noqa: PLC0415

    with TemporaryDirectory(prefix="bench-") as home, BrowsedSite(Path(home)) as site:
        assert site._web
        client = log_in(site.url, OPERATOR, PASSWORD)
        rows = [
            (name, *measure(client, site._web.pid, path(site, name), options.requests))
            for name in options.names or NAMES
        ]
    rig.table(["page", "CPU ms", "HTML KB"], rows)
    print(f"\n{options.requests} requests each, one after the other")


def log_in(url: str, name: str, password: str) -> httpx.Client:
    """Return a client with the session of a user."""
    client = httpx.Client(base_url=url, headers=HTML, timeout=60)
    form = client.get("/login/").text
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', form)
    assert token
    sent = {"csrfmiddlewaretoken": token[1], "username": name, "password": password, "next": "/"}
    client.post("/login/", data=sent, headers={"Origin": url})
    assert "sessionid" in client.cookies
    return client


def measure(client: httpx.Client, process: int, path: str, requests: int) -> tuple[str, str]:
    """Return the CPU milliseconds of a request and the kilobytes of its response."""
    for _ in range(WARM_REQUESTS):
        content = client.get(path).content
    before = rig.cpu_seconds(process)
    for _ in range(requests):
        client.get(path)
    return f"{1000 * (rig.cpu_seconds(process) - before) / requests:.1f}", f"{len(content) / 1000:.1f}"


if __name__ == "__main__":
    main()
