"""An OpenID Connect provider on loopback that knows one person and never asks for a password."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from jwt.algorithms import RSAAlgorithm

from tests.support.background_server import BackgroundServer

CLIENT_ID = "tecken"
CLIENT_SECRET = "for tests"


def new_key() -> RSAPrivateKey:
    return generate_private_key(public_exponent=65537, key_size=2048)


class OidcProvider:
    """Provider that states `claims` about a person; with another `signing_key` its signatures are invalid."""

    def __init__(self) -> None:
        self.claims: dict[str, Any] = {"email": "ada@example.com", "email_verified": True}
        self.key = self.signing_key = new_key()
        self.asked: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    @property
    def settings(self) -> dict[str, str]:
        return {
            "OIDC_RP_CLIENT_ID": CLIENT_ID,
            "OIDC_RP_CLIENT_SECRET": CLIENT_SECRET,
            "OIDC_OP_AUTHORIZATION_ENDPOINT": f"{self.url}/authorize",
            "OIDC_OP_TOKEN_ENDPOINT": f"{self.url}/token",
            "OIDC_OP_USER_ENDPOINT": f"{self.url}/userinfo",
            "OIDC_OP_JWKS_ENDPOINT": f"{self.url}/jwks",
        }

    def authorize(self, location: str) -> str:
        """Follow the redirects of a login as a browser does, from the site's redirect to the one back."""
        self.asked = {name: values[0] for name, values in parse_qs(urlsplit(location).query).items()}
        return self.asked["redirect_uri"] + "?" + urlencode({"code": "once", "state": self.asked["state"]})

    def token(self, form: dict[str, list[str]]) -> dict[str, str] | None:
        verifier = hashlib.sha256(form["code_verifier"][0].encode()).digest()
        challenge = base64.urlsafe_b64encode(verifier).rstrip(b"=").decode()
        expected = ("once", CLIENT_SECRET, self.asked["code_challenge"])
        if (form["code"][0], form["client_secret"][0], challenge) != expected:
            return None
        now = int(time.time())
        claims = {"sub": "1", "aud": CLIENT_ID, "nonce": self.asked["nonce"], "iat": now, "exp": now + 60}
        signed = jwt.encode(claims, self.signing_key, "RS256", headers={"kid": "1"})
        return {"access_token": "access", "id_token": signed, "token_type": "Bearer"}

    def jwks(self) -> dict[str, Any]:
        key = RSAAlgorithm.to_jwk(self.key.public_key(), as_dict=True)
        return {"keys": [{**key, "kid": "1", "alg": "RS256", "use": "sig"}]}

    @contextmanager
    def running(self) -> Iterator[OidcProvider]:
        with BackgroundServer(self._server):
            yield self


def _handler(provider: OidcProvider) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._say(provider.jwks() if self.path == "/jwks" else provider.claims)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            self._say(provider.token(parse_qs(body)))

        def _say(self, answer: Any) -> None:
            self.send_response(200 if answer else 400)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler
