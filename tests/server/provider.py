"""A provider of OpenID Connect over real HTTP, which checks PKCE and signs with RSA, and which can be told to cheat."""

import base64
import hashlib
import json
import secrets
import time
from dataclasses import dataclass, field
from urllib.parse import urlencode

from joserfc import jwt
from joserfc.jwk import RSAKey
from starlette.applications import Starlette
from starlette.responses import JSONResponse, RedirectResponse
from starlette.routing import Route

CLIENT, SECRET = "fathom-test", "client-secret"


def _unsigned(claims):
    parts = ({"alg": "none"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@dataclass
class Provider:
    """Who signs in next, and what is forged about it."""

    url: str = ""
    person: dict = field(default_factory=lambda: {"sub": "1001", "preferred_username": "ada"})
    claims: dict = field(default_factory=dict)
    """Claims to be put over the right ones."""
    forge: str = ""
    """none, other-key, hmac or garbage: how ID tokens are signed wrongly."""
    declines: bool = False
    down: bool = False
    codes: dict = field(default_factory=dict)
    asked: list = field(default_factory=list)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}))

    def app(self):
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self.discover),
                Route("/authorize", self.authorize),
                Route("/token", self.token, methods=["POST"]),
                Route("/keys", self.keys),
            ]
        )

    def discover(self, _request):
        if self.down:
            return JSONResponse({}, 503)
        paths = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
        return JSONResponse({"issuer": self.url} | {name: f"{self.url}/{path}" for name, path in paths.items()})

    def keys(self, _request):
        return JSONResponse({"keys": [self.key.as_dict(private=False)]})

    def authorize(self, request):
        asked = dict(request.query_params)
        self.asked.append(asked)
        back = {"state": asked["state"], "iss": self.url}
        if self.declines:
            back |= {"error": "access_denied", "error_description": "<b>no</b>\u202e"}
        elif asked.get("code_challenge_method") != "S256" or not asked.get("code_challenge"):
            back |= {"error": "invalid_request", "error_description": "PKCE is needed"}
        else:
            code = secrets.token_urlsafe(16)
            self.codes[code] = asked
            back["code"] = code
        return RedirectResponse(f"{asked['redirect_uri']}?{urlencode(back)}", 303)

    async def token(self, request):
        form = await request.form()
        basic = base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        if request.headers.get("authorization") != f"Basic {basic}":
            return JSONResponse({"error": "invalid_client"}, 401)
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge or asked["redirect_uri"] != form["redirect_uri"]:
            return JSONResponse({"error": "invalid_grant"}, 400)
        return JSONResponse({"access_token": "a", "token_type": "Bearer", "id_token": self.id_token(asked["nonce"])})

    def id_token(self, nonce):
        now = int(time.time())
        claims = {"iss": self.url, "aud": CLIENT, "iat": now, "exp": now + 300, "nonce": nonce}
        claims |= self.person | self.claims
        claims = {name: value for name, value in claims.items() if value is not None}
        if self.forge == "garbage":
            return "x.y.z"
        if self.forge == "none":
            return _unsigned(claims)
        if self.forge == "hmac":
            from joserfc.jwk import OctKey

            public = self.key.as_pem(private=False)
            key = OctKey.import_key(base64.urlsafe_b64encode(public).decode().rstrip("="))
            return jwt.encode({"alg": "HS256", "kid": "one"}, claims, key)
        key = RSAKey.generate_key(2048, {"kid": "one"}) if self.forge == "other-key" else self.key
        return jwt.encode({"alg": "RS256", "kid": "one"}, claims, key)
