from __future__ import annotations

from typing import Any

from mozilla_django_oidc.auth import OIDCAuthenticationBackend


class Backend(OIDCAuthenticationBackend):  # type: ignore[misc]
    """Whoever the provider vouches for is a user, known by email address, who may do nothing at first."""

    def verify_claims(self, claims: dict[str, Any]) -> bool:
        """An address that the provider has not verified may be somebody else's."""
        return bool(claims.get("email")) and claims.get("email_verified", True) in (True, "true")

    def get_username(self, claims: dict[str, Any]) -> str:
        return str(claims["email"])
