from __future__ import annotations

from io import StringIO

import pytest
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command

from tecken.accounts.models import Token
from tecken.accounts.tokens import effective_permissions, find

pytestmark = pytest.mark.django_db
UPLOAD = "upload.upload_symbols"


def create(*arguments: str) -> str:
    out = StringIO()
    call_command("createtoken", *arguments, stdout=out)
    return out.getvalue()


def test_createtoken_prints_only_the_token() -> None:
    said = create(
        "ada@example.com", "--permission", UPLOAD, "--create-user", "--days", "2", "--note", "builds"
    )
    assert said.endswith("\n")
    token = find(said.removesuffix("\n"))
    assert effective_permissions(token) == {UPLOAD}
    assert (token.user.email, token.notes) == ("ada@example.com", "builds")
    assert (token.expires_at - token.created_at).days in (1, 2)


def test_createtoken_new_user_has_no_password_and_is_not_staff() -> None:
    create("ada@example.com", "--permission", UPLOAD, "--create-user")
    user = User.objects.get(email="ada@example.com")
    assert (user.has_usable_password(), user.is_staff, user.is_superuser) == (False, False, False)


def test_createtoken_twice_creates_one_user() -> None:
    for name, email in ((UPLOAD, "ada@example.com"), ("upload.upload_try_symbols", "Ada@Example.com")):
        assert effective_permissions(find(create(email, "--permission", name, "--create-user").strip())) == {
            name
        }
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (["ada@example.com", "--permission", UPLOAD], "There is no user ada@example.com"),
        (["ada@example.com", "--permission", "upload.fly", "--create-user"], "no permission upload.fly"),
        (["ada@example.com", "--permission", "fly", "--create-user"], "no permission fly"),
        (["ada", "--permission", UPLOAD, "--create-user"], "'ada' is not an email address"),
        (["ada@example.com", "--permission", UPLOAD, "--create-user", "--days", "0"], "must expire"),
        (
            [
                "ada@example.com",
                "--permission",
                UPLOAD,
                "--permission",
                "upload.upload_try_symbols",
                "--create-user",
            ],
            "Invalid combination of permissions",
        ),
    ],
)
def test_createtoken_invalid_arguments_change_nothing(arguments: list[str], why: str) -> None:
    with pytest.raises(CommandError, match=why):
        create(*arguments)
    assert not User.objects.exists()
    assert not Token.objects.exists()


def test_createtoken_permission_the_user_lacks_fails() -> None:
    User.objects.create_user("ada@example.com", "ada@example.com")
    with pytest.raises(CommandError, match="not a valid permission"):
        create("ada@example.com", "--permission", UPLOAD)
