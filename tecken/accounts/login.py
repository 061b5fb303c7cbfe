"""The page that asks for a name and a password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.db import DatabaseError


class Login(LoginView):
    """On a site without accounts it shows the command that makes one."""

    template_name = "login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        try:
            is_empty = not is_login_possible()
        except DatabaseError:
            is_empty = False
        return super().get_context_data(is_empty=is_empty, **more)


def is_login_possible() -> bool:
    """Whether an account has a password. Those that only own tokens have none."""
    users = User.objects.filter(is_active=True).exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return users.exists()
