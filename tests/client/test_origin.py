from __future__ import annotations

import json

import pytest

from tecken.client.__main__ import DONE, USAGE, main
from tecken.client.origin import SYSTEMS, UploadOrigin, find_origin
from tests.client.conftest import MakeSym
from tests.client.server import Reply, SymbolServer

GITHUB = {
    "GITHUB_ACTIONS": "true",
    "GITHUB_RUN_ID": "1658821493",
    "GITHUB_HEAD_REF": "",
    "GITHUB_REF_NAME": "main",
    "GITHUB_SHA": "ffac537e6cbbf934b08745a378932722df287a53",
    "GITHUB_SERVER_URL": "https://github.com",
    "GITHUB_REPOSITORY": "octocat/Hello-World",
}
GITLAB = {
    "GITLAB_CI": "true",
    "CI_PIPELINE_ID": "12345",
    "CI_COMMIT_REF_NAME": "main",
    "CI_COMMIT_SHA": "1ecfd275763eff1d6b4844ea3168962458c9f27a",
    "CI_JOB_URL": "https://gitlab.com/a/b/-/jobs/50",
}
JENKINS = {
    "JENKINS_URL": "https://ci.example.com/jenkins/",
    "BUILD_TAG": "jenkins-app-7",
    "BRANCH_NAME": "main",
    "GIT_BRANCH": "origin/main",
    "GIT_COMMIT": "abc123",
    "BUILD_URL": "https://ci.example.com/jenkins/job/app/7/",
}
TASKCLUSTER = {
    "TASKCLUSTER_ROOT_URL": "https://tc.example.com",
    "TASK_ID": "fN1SbArXTPSVFNUvaOlinQ",
    "GECKO_HEAD_REV": "deadbeef",
    "GECKO_HEAD_REF": "default",
}


@pytest.mark.parametrize(
    ("environment", "origin"),
    [
        (
            GITHUB,
            UploadOrigin(
                "1658821493",
                "main",
                "ffac537e6cbbf934b08745a378932722df287a53",
                "https://github.com/octocat/Hello-World/actions/runs/1658821493",
            ),
        ),
        ({**GITHUB, "GITHUB_HEAD_REF": "feature"}, find_origin(GITHUB)._replace(branch="feature")),
        (
            GITLAB,
            UploadOrigin(
                "12345",
                "main",
                "1ecfd275763eff1d6b4844ea3168962458c9f27a",
                "https://gitlab.com/a/b/-/jobs/50",
            ),
        ),
        (
            JENKINS,
            UploadOrigin("jenkins-app-7", "main", "abc123", "https://ci.example.com/jenkins/job/app/7/"),
        ),
        (
            TASKCLUSTER,
            UploadOrigin(
                "fN1SbArXTPSVFNUvaOlinQ",
                "default",
                "deadbeef",
                "https://tc.example.com/tasks/fN1SbArXTPSVFNUvaOlinQ",
            ),
        ),
        ({"JENKINS_URL": "https://ci.example.com"}, UploadOrigin()),
        ({"JENKINS_URL": "", **GITLAB}, find_origin(GITLAB)),
        ({}, UploadOrigin()),
    ],
)
def test_origin_comes_from_the_variables_of_the_ci_system(
    environment: dict[str, str], origin: UploadOrigin
) -> None:
    assert find_origin(environment) == origin


def test_origin_long_variable_is_cut() -> None:
    assert find_origin({**GITLAB, "CI_COMMIT_REF_NAME": "b" * 300}).branch == "b" * 255


@pytest.fixture(autouse=True)
def outside_of_ci(monkeypatch: pytest.MonkeyPatch) -> None:
    for system in SYSTEMS:
        monkeypatch.delenv(system.marker, raising=False)


def test_command_sends_the_origin_with_an_archive(server: SymbolServer, make_sym: MakeSym) -> None:
    target = "POST /upload/?build=7&branch=a%2Fb&commit=abc&note=first+%26+last"
    server.script[target] = server.script["POST /upload/"]
    options = ["--build", "7", "--branch", "a/b", "--commit", "abc", "--note", "first & last"]
    assert main([str(make_sym("x.sym")), *options]) == DONE
    assert server.only(target).members()


def test_command_sends_the_origin_with_an_announcement(server: SymbolServer, make_sym: MakeSym) -> None:
    server.script["POST /upload/v2/"] = Reply(
        201,
        {
            "id": 7,
            "upload_protocol": "http-put",
            "files": [{"key": f"libx.so/{'A' * 33}/libx.so.sym", "action": {"type": "skip"}}],
        },
    )
    sym = str(make_sym("x.sym"))
    assert main([sym, "--protocol", "2", "--build", "7", "--commit", "abc"]) == DONE
    document = json.loads(server.only("POST /upload/v2/").body)
    assert {name: document.get(name) for name in UploadOrigin._fields} == {
        "build": "7",
        "commit": "abc",
        "branch": None,
        "note": None,
    }


def test_command_option_replaces_the_variable_and_an_empty_one_leaves_it_out(
    server: SymbolServer, make_sym: MakeSym, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in JENKINS.items():
        monkeypatch.setenv(name, text)
    target = "POST /upload/?build=nightly&branch=main&commit=abc123"
    server.script[target] = server.script["POST /upload/"]
    assert main([str(make_sym("x.sym")), "--build", "nightly", "--note", ""]) == DONE
    assert len(server.requests[target]) == 1


def test_command_long_note_is_wrong_usage(
    server: SymbolServer, make_sym: MakeSym, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([str(make_sym("x.sym")), "--note", "n" * 256])
    assert ended.value.code == USAGE
    assert "--note is longer than 255 characters" in capsys.readouterr().err
    assert not server.requests


def test_command_help_names_the_ci_systems(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    assert "GitHub, GitLab, Jenkins, Taskcluster" in capsys.readouterr().out
