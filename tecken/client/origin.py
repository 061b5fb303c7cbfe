"""Where an upload is from: the name of the build, its branch and commit, and a note.

The server shows these texts and filters by them. Without an option, they come from the variables that CI
systems set.

Sources: the references of the variables of GitHub Actions, GitLab CI/CD, Jenkins (with its Git plugin and
multibranch pipelines), and Taskcluster's workers; for commit and branch of the latter, Firefox's `run-task`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

MAX_LENGTH: Final = 255
"""Characters of each text that the server accepts."""


class UploadOrigin(NamedTuple):
    """Texts that an upload has; an empty one is not sent."""

    build: str = ""
    branch: str = ""
    commit: str = ""
    note: str = ""

    def fields(self) -> dict[str, str]:
        """Return the texts that are not empty, by the names that the server takes."""
        return {name: text for name, text in self._asdict().items() if text}


class System(NamedTuple):
    """CI system: the variable that all its jobs have, and a template for each text."""

    name: str
    marker: str
    build: str
    branch: tuple[str, ...]
    commit: str
    note: str


SYSTEMS: Final = (
    System(
        "GitHub",
        marker="GITHUB_ACTIONS",
        build="{GITHUB_RUN_ID}",
        branch=("{GITHUB_HEAD_REF}", "{GITHUB_REF_NAME}"),
        commit="{GITHUB_SHA}",
        note="{GITHUB_SERVER_URL}/{GITHUB_REPOSITORY}/actions/runs/{GITHUB_RUN_ID}",
    ),
    System(
        "GitLab",
        marker="GITLAB_CI",
        build="{CI_PIPELINE_ID}",
        branch=("{CI_COMMIT_REF_NAME}",),
        commit="{CI_COMMIT_SHA}",
        note="{CI_JOB_URL}",
    ),
    System(
        "Jenkins",
        marker="JENKINS_URL",
        build="{BUILD_TAG}",
        branch=("{CHANGE_BRANCH}", "{BRANCH_NAME}", "{GIT_BRANCH}"),
        commit="{GIT_COMMIT}",
        note="{BUILD_URL}",
    ),
    System(
        "Taskcluster",
        marker="TASKCLUSTER_ROOT_URL",
        build="{TASK_ID}",
        branch=("{GECKO_HEAD_REF}",),
        commit="{GECKO_HEAD_REV}",
        note="{TASKCLUSTER_ROOT_URL}/tasks/{TASK_ID}",
    ),
)


def find_origin(environment: Mapping[str, str]) -> UploadOrigin:
    """Return the origin from the variables of a CI system; empty texts outside of one."""
    for system in SYSTEMS:
        if environment.get(system.marker):
            branches = (_fill(template, environment) for template in system.branch)
            return UploadOrigin(
                _fill(system.build, environment),
                next(filter(None, branches), ""),
                _fill(system.commit, environment),
                _fill(system.note, environment),
            )
    return UploadOrigin()


def _fill(template: str, environment: Mapping[str, str]) -> str:
    """Return the template with the variables in it; nothing if one of them is not set."""
    present = {name: text for name, text in environment.items() if text}
    try:
        return template.format_map(present)[:MAX_LENGTH]
    except KeyError:
        return ""
