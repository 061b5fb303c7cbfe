"""Commands in scripts, and those that few accounts allow. Each test watches the others that a site sends."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tecken.monitoring.preflight import inspect
from tecken.settings import BASE_DIR

CALL = re.compile(r"""redis\.p?call\(\s*['"](\w+)""")
# Tests use these with a client of the site, so that nothing refuses them there.
REFUSED = re.compile(r"\.(flushdb|flushall|ttl|pubsub_\w+|config_[gs]et|object)\(")
# It offers the commands of a server for all servers of a cluster.
OFFERS = BASE_DIR / "tecken" / "redisclient" / "cluster.py"


def sources() -> Iterator[Path]:
    for pattern in ("*.py", "*.lua"):
        yield from (BASE_DIR / "tecken").rglob(pattern)


def test_scripts_send_checked_commands_only() -> None:
    checked = {command[0] for command in inspect.CACHE}
    sent = {name for path in sources() for name in CALL.findall(path.read_text())}
    assert "SCARD" in sent
    assert sent - checked == set()


def test_site_sends_no_command_that_an_account_seldom_allows() -> None:
    found = [path for path in sources() if path != OFFERS and REFUSED.search(path.read_text())]
    assert found == []
