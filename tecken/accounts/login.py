"""Login page with name and password."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX
from django.contrib.auth.models import User
from django.contrib.auth.views import LoginView
from django.db import DatabaseError


class Login(LoginView):
    """Login page. On a site without accounts it shows the command that creates one."""

    template_name = "login.html"
    redirect_authenticated_user = True

    def get_context_data(self, **more: Any) -> dict[str, Any]:
        """Return the context of the template; `is_empty` is True when no account can log in."""
        try:
            is_empty = not is_login_possible()
        except DatabaseError:
            # The form appears during an outage of the database, too; an attempt shows the error.
            is_empty = False
        return super().get_context_data(is_empty=is_empty, **more)


def is_login_possible() -> bool:
    """Return whether an account has a password. Accounts that only own tokens have none."""
    users = User.objects.filter(is_active=True).exclude(password__startswith=UNUSABLE_PASSWORD_PREFIX)
    return users.exists()
