"""The commands of docs/migration, on made stores in each layout, with their output; `*` is anything."""

from __future__ import annotations

import gzip
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from string import Template

import pytest
from django.contrib.auth.models import User
from django.test import Client
from pytest_django import Settings
from symstore.symstore import Store

from tecken.accounts.tokens import find
from tecken.settings import BASE_DIR
from tecken.storage.services import upstream_for
from tecken.symbols.ids import ObjectId
from tests.management.conftest import Manage
from tests.management.test_import_tree import EMAIL, IDS, body, fill, sym
from tests.support import mozilla_tables
from tests.support.mozilla_tables import KEY
from tests.system.test_tutorials import commands, is_like
from tests.upload.natives import BUILD_ID, DATA, UNWIND_ID

pytestmark = pytest.mark.django_db
GUIDES = BASE_DIR / "docs" / "migration"
MANAGE = "python manage.py "
SYM = f"a.so/{IDS[0]}/a.so.sym"


@pytest.fixture
def site(house: Settings) -> Settings:
    house.SYMBOL_SOURCES = []
    User.objects.create_user(EMAIL, EMAIL)
    return house


def follow(manage: Manage, guide: str, folder: Path, variables: Mapping[str, str]) -> int:
    """Run the commands of a guide in a folder, and return their number."""
    document = (GUIDES / f"{guide}.md").read_text()
    steps = list(commands(document))
    for command, expected in steps:
        output = run(manage, command, folder, variables)
        assert is_like(output, expected), (command, output)
    return len(steps)


def run(manage: Manage, command: str, folder: Path, variables: Mapping[str, str]) -> str:
    assert command.startswith(MANAGE)
    words = shlex.split(Template(command.removeprefix(MANAGE)).substitute(variables))
    before = Path.cwd()
    os.chdir(folder)
    try:
        return manage(*words)
    finally:
        os.chdir(before)


def test_guide_of_mozilla_moves_symbols_tokens_and_uploads(
    manage: Manage, site: Settings, tmp_path: Path, client: Client
) -> None:
    bucket = fill(
        tmp_path / "bucket",
        {
            f"v1/{SYM}": gzip.compress(sym("a.so", IDS[0])),
            f"try/v1/c.so/{IDS[2]}/c.so.sym": gzip.compress(sym("c.so", IDS[2])),
        },
        datetime.now(UTC) - timedelta(days=5),
    )
    tables = mozilla_tables.write_csv(tmp_path / "accounts")
    variables = {"SOURCE": bucket.as_uri(), "FORMER": str(tables)}
    assert follow(manage, "mozilla-tecken", tmp_path, variables) == 6
    assert body(client, f"/{SYM}") == sym("a.so", IDS[0])
    assert find(KEY).user.email == "build@example.com"
    with upstream_for(f"{bucket.as_uri()}/v1").open(ObjectId("a.so", IDS[0])) as chunks:
        assert gzip.decompress(b"".join(chunks)) == sym("a.so", IDS[0])


def test_guide_of_mozilla_exports_its_tables(
    manage: Manage, site: Settings, tmp_path: Path, mozilla_database: str
) -> None:
    if not shutil.which("psql"):
        pytest.skip("psql is not installed")
    document = (GUIDES / "mozilla-tecken.md").read_text()
    (script,) = re.findall(r"```sh\n(mkdir accounts.*?)```", document, re.DOTALL)
    environment = {**os.environ, "FORMER": mozilla_database}
    subprocess.run(["bash", "-ec", script], cwd=tmp_path, env=environment, check=True, timeout=60)
    assert "tokens created: 2" in manage("accounts", "import", str(tmp_path / "accounts"), "--dry-run")


def test_guide_of_symbolicator_converts_sources_and_imports(
    manage: Manage, site: Settings, tmp_path: Path, client: Client
) -> None:
    document = (GUIDES / "symbolicator.md").read_text()
    (config,) = re.findall(r"```yaml\n(.*?)```", document, re.DOTALL)
    (tmp_path / "config.yml").write_text(config)
    content = (DATA / "libnative.so").read_bytes()
    path = f"{BUILD_ID[:2]}/{BUILD_ID[2:]}"
    bucket = fill(tmp_path / "bucket", {f"{path}/debuginfo": content, f"{path}/meta": b"{}"})
    assert follow(manage, "symbolicator", tmp_path, {"SOURCE": bucket.as_uri()}) == 4
    assert body(client, f"/buildid/{BUILD_ID}/debuginfo") == content


def test_guide_of_symstore_imports_the_share(
    manage: Manage, site: Settings, tmp_path: Path, client: Client
) -> None:
    store = Store(str(tmp_path / "share"))
    transaction = store.new_transaction("app", "1.2", "nightly")
    for name in ("unwind.pdb", "unwind.exe"):
        transaction.add_entry(transaction.new_entry(str(DATA / name)))
    store.commit(transaction)
    assert follow(manage, "symstore", tmp_path, {"STORE": str(tmp_path / "share")}) == 4
    assert body(client, f"/unwind.pdb/{UNWIND_ID}/unwind.pdb") == (DATA / "unwind.pdb").read_bytes()
    assert upstream_for(f"symsrv+file://{tmp_path}/share")


def test_guide_of_a_bucket_imports_it(manage: Manage, site: Settings, tmp_path: Path, client: Client) -> None:
    files = {SYM: sym("a.so", IDS[0]), f"b.so/{IDS[1]}/b.so.sym.gz": gzip.compress(sym("b.so", IDS[1]))}
    bucket = fill(tmp_path / "bucket", files)
    assert follow(manage, "sym-bucket", tmp_path, {"SOURCE": bucket.as_uri()}) == 5
    assert body(client, f"/b.so/{IDS[1]}/b.so.sym") == sym("b.so", IDS[1])
