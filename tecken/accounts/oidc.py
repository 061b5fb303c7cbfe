"""Users of an OpenID provider.

This module is apart from `sessions`, because its library is imported only on sites that have a provider.
"""

from __future__ import annotations

from typing import Any

from mozilla_django_oidc.auth import OIDCAuthenticationBackend


class Backend(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Authentication by a provider. Users are identified by email address; a new one has no permission."""

    def verify_claims(self, claims: dict[str, Any]) -> bool:
        """Return whether the provider has verified the email address.

        An address that is not verified may belong to another person, whose account the user would get.
        """
        # Some providers send the claim as a text. One that does not send it has no addresses that are not
        # verified.
        return bool(claims.get("email")) and claims.get("email_verified", True) in (True, "true")

    def get_username(self, claims: dict[str, Any]) -> str:
        """Return the email address, which is the user name as well."""
        return str(claims["email"])
