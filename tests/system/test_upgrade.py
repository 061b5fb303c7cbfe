"""Upgrade of a site with data: an earlier commit fills database, storage and both Redis servers.

The processes of the earlier commit end, the two Redis servers stay, and the checkout continues on the same
data. Both sides are used from outside only, by HTTP, commands and jobs, so that the tests do not depend on
the layout of the code. Both run with the packages that are installed now.
"""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from celery import Celery

from tests.support.postgres import PostgresServer, binary
from tests.support.sentinel import wait_until
from tests.system.site import ROOT, Site, end

# The last commit with the old layout: packages such as tecken.modules and tecken.sources, files described by
# their path, page files named by file name and debug id.
PREVIOUS_COMMIT = "6985f7557f7aefabd404c6903283873a7cf941f2"
PARTS = ("manage.py", "run", "tecken")
WITHIN = 60.0  # seconds, on a busy machine

Rows = list[dict[str, Any]]


class File(NamedTuple):
    """A file to upload, and its key: `<debug file>/<debug id>/<file name>`."""

    key: str
    content: bytes
    is_try: bool = False

    @property
    def url(self) -> str:
        return f"/{'try/' if self.is_try else ''}{self.key}"

    @property
    def module(self) -> list[str]:
        return self.key.split("/")[:2]


def symbol_file(
    name: str, debug_id: str, system: str = "Linux", *, info: str = "", is_try: bool = False
) -> File:
    """Return a Breakpad file with an inlined call, line records and a public symbol."""
    text = (
        f"MODULE {system} x86_64 {debug_id} {name}\n{info}"
        f"FILE 0 src/{name}.cpp\n"
        "INLINE_ORIGIN 0 inlined(int)\n"
        f"FUNC 1000 40 0 {name}::run()\n"
        "INLINE 0 7 0 0 1010 10\n"
        "1000 10 11 0\n1010 10 12 0\n1020 20 13 0\n"
        f"PUBLIC 2000 0 {name}_public\n"
    )
    stem = name.removesuffix(".pdb")
    return File(f"{name}/{debug_id}/{stem}.sym", text.encode(), is_try)


SAMPLE = next((ROOT / "tests" / "data" / "samples" / "crash-c").glob("*/crash-c.sym"))
BREAKPAD = File(f"crash-c/{SAMPLE.parent.name}/crash-c.sym", SAMPLE.read_bytes())
CODE_ID = "5CF2591C6859000"
WINDOWS = symbol_file(
    "XUL.pdb", "44E4EC8C2F41492B9369D6B9A059577C2", "windows", info=f"INFO CODE_ID {CODE_ID} XUL.dll\n"
)
ELF = File(f"crash-c/{SAMPLE.parent.name}/crash-c", b"\x7fELF\x02\x01\x01" + bytes(4096))
PDB = File(
    "XUL.pdb/44E4EC8C2F41492B9369D6B9A059577C2/XUL.pdb",
    b"Microsoft C/C++ MSF 7.00\r\n\x1aDS\0\0\0" + bytes(4096),
)
TRY = symbol_file("libtry.so", "A0000000000000000000000000000000A0", is_try=True)
REGULAR = (BREAKPAD, WINDOWS, ELF, PDB)
STORED = (*REGULAR, TRY)

# Left to workers by the earlier commit.
TO_CONVERT = symbol_file("libconvert.so", "B0000000000000000000000000000000B0")
TO_KEEP = symbol_file("libkeep.so", "C0000000000000000000000000000000C0")

# Modules of the lookups that fail: one is written down before the upgrade, one after it.
MISSING = ["missing.pdb", "D0000000000000000000000000000000D0"]
MISSING_LATER = ["later.pdb", "E0000000000000000000000000000000E0"]

OFFSETS = (0x1000, 0x1014, 0x1180, 0x2004, 0x9FFFFF)
LOWER_CASE = "v5, name in lower case"
REQUESTS = {
    "v5": ("/symbolicate/v5", [BREAKPAD.module, WINDOWS.module]),
    LOWER_CASE: ("/symbolicate/v5", [["xul.pdb", WINDOWS.module[1]]]),
    "v5 with try symbols": ("/symbolicate/v5?try", [TRY.module, WINDOWS.module]),
    "v5 without try symbols": ("/symbolicate/v5", [TRY.module]),
    "v5 of a missing module": ("/symbolicate/v5", [MISSING, BREAKPAD.module]),
    "v4": ("/symbolicate/v4", [BREAKPAD.module, WINDOWS.module]),
}
DOWNLOADS = (
    *(file.url for file in STORED),
    f"/XUL.dll/{CODE_ID}/XUL.sym",
    WINDOWS.url.replace("XUL", "xul"),
    f"/{MISSING[0]}/{MISSING[1]}/missing.sym",
)
OPTIONS: tuple[dict[str, Any], ...] = (
    {"changes": {"symbolicate_max_jobs": 20, "full_tracing": "25% of users"}, "why": "a crash storm"},
    {"changes": {"symbolicate_max_jobs": 30, "full_tracing": None}, "why": "a larger one"},
    {"changes": {"symbolicate_max_jobs@2999-01-01T00:00:00Z/2999-01-02T00:00:00Z": 5}, "why": "a holiday"},
)
PERMISSIONS = (
    "tokens.manage_tokens",
    "upload.upload_symbols",
    "upload.view_all_uploads",
    "runtimeconfig.change_option",
    "runtimeconfig.view_option",
)
UPLOAD, HOUSEKEEPING = "upload", "housekeeping"
KEEP_UPLOAD = "tecken.upload.tasks.keep_upload"
WRITE_MISSES = "tecken.download.tasks.write_misses"


class Facts(NamedTuple):
    """Everything that clients and operators see of the data."""

    answers: dict[str, bytes]
    downloads: dict[str, tuple[int, str, bytes]]
    uploads: Rows
    files: Rows
    missing: set[tuple[str, str]]
    account: dict[str, Any]
    options: Rows
    history: Rows
    tokens: Rows


class UpgradedSite(Site):
    """A site that begins with the code in `code` and continues with the checkout, on the same data."""

    web = ("-m", "run.web")

    def __init__(self, home: Path, code: Path, **environment: str) -> None:
        super().__init__(home, None, **environment)
        self.code = code
        self.token = self.try_token = ""
        self._beat: subprocess.Popen[bytes] | None = None

    def __exit__(self, *error: Any) -> None:
        end(self._beat)
        super().__exit__(*error)

    def _create_tables(self) -> None:
        self.manage("migrate", "--verbosity", "0")

    def upgrade(self) -> None:
        self.stop_web()
        self.stop_worker()
        self.code = ROOT
        self._create_tables()
        self.start_worker()
        self.start_web()
        self._beat = self._python(["-m", "celery", "--quiet", "-A", "tecken", "beat", "--loglevel", "error"])

    def send_job(self, queue: str, task: str, *arguments: str) -> str:
        """Return the id of the job."""
        broker = f"{self.cache.url.removesuffix('/0')}/1"
        with Celery(broker=broker, set_as_current=False) as app:
            return str(app.send_task(task, arguments, queue=queue).id)

    def call(self, method: str, path: str, token: str = "", **body: Any) -> httpx.Response:
        return self._client.request(method, path, headers={"Auth-Token": token or self.token}, **body)

    def get(self, path: str) -> httpx.Response:
        return self.call("GET", path)

    def rows(self, path: str, name: str) -> Rows:
        """Return the rows of a list of the API, ordered by their ids."""
        found: Rows = self.get(path).raise_for_status().json()[name]
        return sorted(found, key=lambda row: int(row["id"]))


# Steps of the earlier commit.


def fill(site: UpgradedSite) -> None:
    create_tokens(site)
    change_options(site)
    upload(site, REGULAR)
    upload(site, [TRY])
    look_up_missing(site, MISSING)
    read_answers(site)
    write_misses(site)


def create_tokens(site: UpgradedSite) -> None:
    site.token = create_token(site, "builder@example.com", PERMISSIONS)
    site.try_token = create_token(site, "try@example.com", ["upload.upload_try_symbols"])


def create_token(site: UpgradedSite, email: str, permissions: Iterable[str]) -> str:
    words = [word for permission in permissions for word in ("--permission", permission)]
    return site.manage("createtoken", email, *words, "--create-user").strip()


def change_options(site: UpgradedSite) -> None:
    for change in OPTIONS:
        site.call("PATCH", "/api/config/", json=change).raise_for_status()


def upload(site: UpgradedSite, files: Iterable[File], *, asynchronous: bool = False) -> int:
    """Return the number of the upload."""
    files = list(files)
    token = site.try_token if files[0].is_try else site.token
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in files:
            archive.writestr(file.key, file.content)
    path = "/upload/?async=1" if asynchronous else "/upload/"
    reply = site.call("POST", path, token, files={"symbols.zip": packed.getvalue()})
    return int(reply.raise_for_status().json()["upload"]["id"])


def look_up_missing(site: UpgradedSite, module: list[str]) -> None:
    debug_file, debug_id = module
    assert site.get(f"/{debug_file}/{debug_id}/{Path(debug_file).stem}.sym").status_code == 404


def write_misses(site: UpgradedSite) -> None:
    site.send_job(HOUSEKEEPING, WRITE_MISSES)
    wait_until(lambda: tuple(MISSING) in read_missing(site), WITHIN, "the missing module is written down")


def bury_a_job(site: UpgradedSite) -> str:
    """Leave a dead letter: a job whose argument is no number of an upload. Return its id."""
    job = site.send_job(UPLOAD, KEEP_UPLOAD, "not-a-number")
    wait_until(lambda: read_queue(site)["dead"] == 1, WITHIN, "the job is a dead letter")
    return job


def leave_jobs(site: UpgradedSite) -> int:
    """Leave jobs that no worker of the earlier commit takes. Return the number of an upload."""
    site.stop_worker()
    upload(site, [TO_CONVERT])
    number = upload(site, [TO_KEEP], asynchronous=True)
    look_up_missing(site, MISSING_LATER)
    site.send_job(HOUSEKEEPING, WRITE_MISSES)
    return number


# What a site answers, whichever code it runs.


def read(site: UpgradedSite) -> Facts:
    return Facts(
        answers=read_answers(site),
        downloads={path: read_download(site, path) for path in DOWNLOADS},
        uploads=site.rows("/api/uploads/", "uploads"),
        files=site.rows("/api/uploads/files/", "files"),
        missing=read_missing(site),
        account=site.call("POST", "/upload/auth_info/").json(),
        options=read_options(site),
        history=site.rows("/api/config/history/", "changes"),
        tokens=read_tokens(site),
    )


def read_answers(site: UpgradedSite) -> dict[str, bytes]:
    return {name: read_answer(site, *request) for name, request in REQUESTS.items()}


def read_answer(site: UpgradedSite, path: str, modules: list[list[str]]) -> bytes:
    """Return the answer to a symbolication request, as soon as no module is pending."""
    stacks = [[[index, offset] for index in range(len(modules)) for offset in OFFSETS]]
    request = {"memoryMap": modules, "stacks": stacks, "version": 4}
    replies: list[httpx.Response] = []

    def is_complete() -> bool:
        replies.append(site.call("POST", path, json=request))
        return replies[-1].status_code == 200 and "Pending" not in replies[-1].text

    wait_until(is_complete, WITHIN, f"{path} answers")
    return replies[-1].content


def read_download(site: UpgradedSite, path: str) -> tuple[int, str, bytes]:
    reply = site.get(path)
    return reply.status_code, reply.headers.get("Location", ""), reply.content


def read_missing(site: UpgradedSite) -> set[tuple[str, str]]:
    rows = site.get("/missingsymbols/").raise_for_status().json()["missing_symbols"]
    return {(row["debug_file"], row["debug_id"]) for row in rows}


def read_options(site: UpgradedSite) -> Rows:
    """Return what was set; options that the checkout has in addition do not count."""
    options = site.get("/api/config/").raise_for_status().json()["options"]
    return [
        {key: option[key] for key in ("name", "text", "value", "scheduled")}
        for option in options
        if option["text"] is not None or option["scheduled"]
    ]


def read_queue(site: UpgradedSite) -> dict[str, Any]:
    queue: dict[str, Any] = site.get("/health").json()["queue"]
    return queue


def read_tokens(site: UpgradedSite) -> Rows:
    """Return the tokens without the time of their last use, which each request changes."""
    return [row | {"last_used_at": None} for row in site.rows("/api/tokens/", "tokens")]


# The upgrade.


class Upgrade(NamedTuple):
    site: UpgradedSite
    before: Facts
    after: Facts
    upload: int
    """The number of the upload whose job the earlier commit left."""
    dead_letter: str
    """The id of the job that failed before the upgrade."""


def has_history() -> bool:
    command = ["git", "-C", str(ROOT), "cat-file", "-e", f"{PREVIOUS_COMMIT}^{{commit}}"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.fixture(scope="session")
def previous_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a directory with the earlier commit."""
    if not shutil.which("git") or not has_history():
        pytest.skip(f"no commit {PREVIOUS_COMMIT:.7} here: a shallow clone or an archive has no history")
    packed = subprocess.check_output(["git", "archive", PREVIOUS_COMMIT, *PARTS], cwd=ROOT)
    code = tmp_path_factory.mktemp("previous")
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(code, filter="data")
    return code


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(name, marks=pytest.mark.xdist_group(f"upgrade-{name}"))
        for name in ("sqlite", "postgresql")
    ],
)
def upgrade(
    request: pytest.FixtureRequest, previous_code: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Upgrade]:
    with ExitStack() as stack:
        environment = {}
        if request.param == "postgresql":
            environment["DATABASE_URL"] = stack.enter_context(postgres()).url
        home = tmp_path_factory.mktemp("site")
        site = stack.enter_context(UpgradedSite(home, previous_code, **environment))
        fill(site)
        dead_letter = bury_a_job(site)
        before = read(site)
        number = leave_jobs(site)
        site.upgrade()
        wait_until(lambda: read_queue(site)["queue_depth"] == 0, WITHIN, "the jobs in the queue are done")
        yield Upgrade(site, before, read(site), number, dead_letter)


def postgres() -> PostgresServer:
    try:
        binary("postgres")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    return PostgresServer()


def lost(before: Rows, after: Rows) -> Rows:
    """Return the rows that are no longer there, or no longer the same. Later code may add columns."""
    return [row for row in before if not any(row.items() <= other.items() for other in after)]


@pytest.mark.parametrize("name", [name for name in REQUESTS if name != LOWER_CASE])
def test_symbolication_after_upgrade_answers_the_same_bytes(upgrade: Upgrade, name: str) -> None:
    assert upgrade.after.answers[name] == upgrade.before.answers[name]


def test_name_in_lower_case_after_upgrade_has_symbols(upgrade: Upgrade) -> None:
    """The previous version compared names exactly, and remembered that this one is absent."""
    assert b'"function"' not in upgrade.before.answers[LOWER_CASE]
    assert b'"function"' in upgrade.after.answers[LOWER_CASE]


def test_answers_before_upgrade_have_symbols(upgrade: Upgrade) -> None:
    assert b"inlined(int)" in upgrade.before.answers["v5"]
    assert b"inlined(int)" in upgrade.before.answers["v5 with try symbols"]


@pytest.mark.parametrize("file", STORED, ids=lambda file: file.key)
def test_download_after_upgrade_has_the_uploaded_bytes(upgrade: Upgrade, file: File) -> None:
    assert upgrade.after.downloads[file.url] == (200, "", file.content)


@pytest.mark.parametrize("path", DOWNLOADS)
def test_download_after_upgrade_is_as_before(upgrade: Upgrade, path: str) -> None:
    assert upgrade.after.downloads[path] == upgrade.before.downloads[path]


def test_uploads_after_upgrade_have_the_same_rows(upgrade: Upgrade) -> None:
    assert len(upgrade.before.uploads) == 2
    assert lost(upgrade.before.uploads, upgrade.after.uploads) == []


def test_files_after_upgrade_have_the_same_rows(upgrade: Upgrade) -> None:
    assert len(upgrade.before.files) == len(STORED)
    assert lost(upgrade.before.files, upgrade.after.files) == []


def test_tokens_after_upgrade_are_the_same(upgrade: Upgrade) -> None:
    assert len(upgrade.before.tokens) == 1
    assert lost(upgrade.before.tokens, upgrade.after.tokens) == []
    assert lost([upgrade.before.account], [upgrade.after.account]) == []


def test_try_token_after_upgrade_is_accepted(upgrade: Upgrade) -> None:
    account = upgrade.site.call("POST", "/upload/auth_info/", upgrade.site.try_token).json()
    assert account["try_symbols"] is True


def test_options_after_upgrade_are_the_same(upgrade: Upgrade) -> None:
    assert {"symbolicate_max_jobs"} <= {option["name"] for option in upgrade.before.options}
    assert upgrade.after.options == upgrade.before.options


def test_history_after_upgrade_is_the_same(upgrade: Upgrade) -> None:
    assert {change["why"] for change in OPTIONS} <= {row["why"] for row in upgrade.before.history}
    assert lost(upgrade.before.history, upgrade.after.history) == []


def test_missing_modules_after_upgrade_include_those_of_before(upgrade: Upgrade) -> None:
    assert tuple(MISSING) in upgrade.before.missing
    assert upgrade.before.missing <= upgrade.after.missing


def test_misses_counted_before_upgrade_are_written_after_it(upgrade: Upgrade) -> None:
    assert tuple(MISSING_LATER) not in upgrade.before.missing
    assert tuple(MISSING_LATER) in upgrade.after.missing


def test_queued_upload_after_upgrade_is_stored(upgrade: Upgrade) -> None:
    row = upgrade.site.get(f"/api/uploads/upload/{upgrade.upload}").json()
    assert (row["error"], row["members_done"]) == ("", 1)
    assert row["completed_at"]
    assert upgrade.site.get(TO_KEEP.url).content == TO_KEEP.content


def test_queued_conversion_after_upgrade_is_done(upgrade: Upgrade) -> None:
    """A symbol file without a page file is one of the problems that the command finds."""
    # The repair removes page files under the names of the previous version.
    upgrade.site.manage("symbols", "fsck", "--repair")
    upgrade.site.manage("symbols", "fsck")
    answer = read_answer(upgrade.site, "/symbolicate/v5", [TO_CONVERT.module, TO_KEEP.module])
    assert answer.count(b"inlined(int)") == 2


def test_dead_letter_after_upgrade_is_listed_and_without_it_the_site_is_healthy(upgrade: Upgrade) -> None:
    letters = json.loads(upgrade.site.manage("jobs", "list", "--json"))
    assert [(letter["id"], letter["task"]) for letter in letters] == [(upgrade.dead_letter, KEEP_UPLOAD)]
    upgrade.site.manage("jobs", "drop", upgrade.dead_letter)
    wait_until(
        lambda: upgrade.site.get("/health").json()["status"] == "healthy", WITHIN, "the site is healthy"
    )
