"""Page that adds the upload to a CI: an upload-only token, the step with it, and the first upload, live."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import Final, NamedTuple

from django.contrib.auth.models import Permission, User
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.template.loader import render_to_string
from django.urls import path
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from tecken.accounts.models import Token
from tecken.accounts.tokens import (
    DAYS,
    MANAGE,
    MAX_DAYS,
    MAX_NOTES,
    find_permissions,
    issue,
    permission_name,
    token_of,
)
from tecken.errors import Forbidden, InvalidInput, NotFound
from tecken.upload.models import Upload
from tecken.upload.protocols.direct import REGULAR, TRY, UPLOADERS
from tecken.upload.resolved import count_modules, count_requests, load_report
from tecken.web.auth import SitePage, need, page
from tecken.web.lists import BIGGEST
from tecken.web.pages import tokens
from tecken.web.pages.config import user_of
from tecken.web.pages.tokens import read_days, read_notes, read_number
from tecken.web.pages.uploads import state_of

PLACEHOLDER: Final = "PASTE-THE-TOKEN"
# The page looks for an upload this long after the token was created, and for uses after the upload.
LIVE_PERIOD: Final = timedelta(hours=1)
WAITING_SECONDS, COMPLETE_SECONDS = 5, 15


class CiSystem(NamedTuple):
    """CI, and what to do with its two texts: the command that stores the token, and the step."""

    name: str
    title: str
    secret_help: str
    code_help: str


class CiStep(NamedTuple):
    """Texts of a CI with the address of this site and the token."""

    name: str
    title: str
    secret_help: str
    code_help: str
    secret: str
    code: str


SYSTEMS: Final = (
    CiSystem(
        "github",
        "GitHub Actions",
        "Store the token as a secret of the repository, in a checkout of it:",
        "Add this step to the job, after the build:",
    ),
    CiSystem(
        "gitlab",
        "GitLab CI",
        "Store the token as a masked variable, in a checkout of the project:",
        "Add this job to .gitlab-ci.yml; it needs the files of the job build as artifacts:",
    ),
    CiSystem(
        "jenkins",
        "Jenkins",
        "Store the token as a secret text, here or in Manage Jenkins, Credentials:",
        "Add this stage to the Jenkinsfile, after the build:",
    ),
    CiSystem(
        "taskcluster",
        "Taskcluster",
        "Store the token in a secret that only this task can read:",
        "Add this to the task that has the symbols:",
    ),
    CiSystem(
        "shell",
        "Any other: plain shell",
        "Keep the token where your CI has its secrets, and pass it in the environment:",
        "Run this after the build. It needs Python 3.11 or newer. Exit status 75: try again later.",
    ),
)


def list_steps(site: str, key: str, expires: str) -> list[CiStep]:
    """Return the texts of each CI.

    Args:
        site: Address of this site, without a slash at its end.
        key: The token, or a text that stands for it.
        expires: When the token expires, as ISO 8601.
    """
    context = {"site": site, "key": key, "expires": expires}
    return [
        CiStep(
            *system,
            render_to_string(f"tokens/ci/{system.name}-secret.txt", context).strip(),
            render_to_string(f"tokens/ci/{system.name}.txt", context).strip(),
        )
        for system in SYSTEMS
    ]


@page(MANAGE)
@require_http_methods(["GET", "HEAD", "POST"])
def add_to_ci(request: HttpRequest) -> HttpResponse:
    """Show the form, create a token, or show the first upload with the token `?token=`."""
    user = user_of(request)
    need(user, *UPLOADERS)
    if request.method != "POST":
        number = request.GET.get("token")
        return _render_token(request, _find_token(user, number)) if number else _render_form(request)
    try:
        token, key = issue(user, _select_permission(request), read_days(request), read_notes(request, "note"))
    except Forbidden:
        # Forbidden is also an InvalidInput. Its page has the status 403, and not the form.
        raise
    except InvalidInput as error:
        return _render_form(request, str(error))
    # As for other tokens, the key is shown in this response only.
    return _render_token(request, token, key)


def _select_permission(request: HttpRequest) -> list[Permission]:
    is_try = bool(request.POST.get("try")) or not user_of(request).has_perm(REGULAR)
    return list(find_permissions([TRY if is_try else REGULAR]))


def _find_token(user: User, text: str) -> Token:
    """Return the user's token with a number that has one permission, to upload. Raises NotFound."""
    try:
        token = token_of(user, read_number(text, 1, BIGGEST, "The token"))
    except InvalidInput:
        raise NotFound("Token not found") from None
    if not _permissions(token) <= {REGULAR, TRY}:
        raise NotFound("This token can do more than upload")
    return token


def _permissions(token: Token) -> set[str]:
    return {permission_name(permission) for permission in token.permissions.select_related("content_type")}


def _render_form(request: HttpRequest, problem: str = "") -> HttpResponse:
    user, sent = user_of(request), request.POST
    context = {
        "ci": {
            "note": sent.get("note", ""),
            "days": sent.get("days", DAYS),
            "try": sent.get("try", ""),
            "may_choose": all(map(user.has_perm, UPLOADERS)),
        },
        "ci_problem": problem,
        "most_days": MAX_DAYS,
        "most_notes": MAX_NOTES,
    }
    status = HTTPStatus.BAD_REQUEST if problem else HTTPStatus.OK
    return render(request, "tokens/ci.html", context, status=status)


def _render_token(request: HttpRequest, token: Token, key: str = "") -> HttpResponse:
    site = request.build_absolute_uri("/").rstrip("/")
    context = {
        "token": token,
        "key": key,
        "is_try": TRY in _permissions(token),
        "placeholder": PLACEHOLDER,
        "steps": list_steps(site, key or PLACEHOLDER, token.expires_at.isoformat(timespec="seconds")),
        **_describe_first(token),
    }
    return render(request, "tokens/ci.html", context, status=HTTPStatus.CREATED if key else HTTPStatus.OK)


def _describe_first(token: Token) -> dict[str, object]:
    """Return the first upload with a token, its report, and the seconds until the page looks again."""
    upload = Upload.objects.filter(token=token).order_by("pk").first()
    since = timezone.now() - LIVE_PERIOD
    if upload is None:
        pause = WAITING_SECONDS if token.created_at > since and not token.is_expired else 0
        return {"kind": "", "pause": pause}
    state = state_of(upload)
    pause = COMPLETE_SECONDS if state == "complete" else WAITING_SECONDS
    report = load_report(upload)
    return {
        "upload": upload,
        "state": state,
        "kind": {"complete": "success", "failed": "error"}.get(state, ""),
        "pause": pause if upload.created_at > since else 0,
        "report": report,
        "requests": count_requests(report.modules),
        "modules_count": count_modules(upload),
    }


PAGE = SitePage(
    title="Add to CI",
    urls=[path("tokens/ci/", add_to_ci, name="add-to-ci")],
    part_of=tokens.PAGE,
)
