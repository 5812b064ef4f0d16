"""Turn a visit to the provider into who somebody is: OpenID Connect, code flow with PKCE, state and nonce."""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import urlsplit

import anyio
import httpx2
from authlib.common.errors import AuthlibBaseError
from authlib.integrations.httpx_client import AsyncOAuth2Client
from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from fathom.harness.errors import BadInput, Busy, FathomError
from fathom.harness.format import shorten, visible
from fathom.harness.service.seasons.vault import check_key
from fathom.harness.settings import OidcSettings, ServiceSettings

ATTEMPT_LASTS = 600
"""Seconds that somebody may take to sign in at the provider."""

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Of signatures. Asymmetric ones only: `none`, and HMAC under a public key, are how ID tokens are forged."""

_LEEWAY = 60
_TIMEOUT = 10.0
_TRUSTED_FOR = 3600.0
"""Seconds after which the provider's addresses are asked for again."""


class SignInFailed(FathomError):
    """Signing in did not come to its end; nobody is signed in."""

    status = 400


@dataclass(frozen=True, slots=True)
class Attempt:
    """What one browser must bring back from the provider; it travels in an encrypted cookie, so any process can ask."""

    state: str
    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True, slots=True)
class Person:
    """Who the provider says has signed in. Only `subject` is theirs for good; a user name can pass to a stranger."""

    subject: str
    """The provider's id of the person, without the issuer."""
    name: str


@dataclass(frozen=True, slots=True)
class Addresses:
    """What the provider's discovery document says."""

    issuer: str
    authorize: str
    token: str
    keys: str


class Oidc:
    """The provider as one server uses it; it remembers its addresses for an hour, and nothing about people."""

    def __init__(self, settings: OidcSettings, service: ServiceSettings) -> None:
        """Ask the provider nothing yet.

        Raises:
            BadInput: the server has no address or no key.
        """
        if not service.url:
            raise BadInput("accounts need FATHOM_URL, the address under which visitors see this server")
        self._settings, self._redirect = settings, f"{service.url}/sign-in/callback"
        self._box = Fernet(_derive(check_key(service.secret_key)))
        self._known: tuple[float, Addresses] | None = None

    def seal(self, attempt: Attempt) -> str:
        """Encrypt an attempt into the value of a cookie."""
        return self._box.encrypt(json.dumps(asdict(attempt)).encode()).decode()

    def unseal(self, cookie: str) -> Attempt:
        """Return the attempt in a cookie.

        Raises:
            SignInFailed: there is none, it is too old, or it is not from here.
        """
        try:
            return Attempt(**json.loads(self._box.decrypt(cookie.encode("utf-8", "replace"), ttl=ATTEMPT_LASTS)))
        except (InvalidToken, TypeError, ValueError) as error:
            raise SignInFailed("signing in took too long, or began in another browser: start again") from error

    async def begin(self, next_page: str) -> tuple[str, Attempt]:
        """Return the address at the provider to send somebody to, and what they must bring back.

        Raises:
            Busy: the provider does not answer.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = Attempt(state, nonce, verifier, next_page)
        with _translated():
            async with self._client() as client:
                found = await self._addresses(client)
                address, _ = client.create_authorization_url(
                    found.authorize, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
                )
        return str(address), attempt

    async def finish(self, answer: Mapping[str, str], attempt: Attempt) -> Person:
        """Exchange what the provider sent back for who it is.

        Raises:
            SignInFailed: somebody declined, or the answer does not belong to this attempt, or the token is not sound.
            Busy: the provider does not answer.
        """
        if not secrets.compare_digest(answer.get("state", "").encode(), attempt.state.encode()):
            raise SignInFailed("this answer belongs to another attempt to sign in: start again")
        if "error" in answer:
            said = visible(shorten(answer.get("error_description") or answer["error"], 200))
            raise SignInFailed(f"the provider did not sign you in: {said}")
        with _translated():
            with anyio.fail_after(2 * _TIMEOUT):
                async with self._client() as client:
                    found = await self._addresses(client)
                    if answer.get("iss", found.issuer) != found.issuer:  # RFC 9207
                        raise SignInFailed("this answer is another provider's: start again")
                    got = await client.fetch_token(
                        found.token, grant_type="authorization_code", code=answer.get("code", ""),
                        code_verifier=attempt.verifier,
                    )  # fmt: skip
                    keys = await _get(client, found.keys)
        return self._check(str(got.get("id_token", "")), keys, found.issuer, attempt.nonce)

    def _check(self, id_token: str, keys: Any, issuer: str, nonce: str) -> Person:  # keys: JSON of a key set
        rules = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY,
            iss={"essential": True, "value": issuer},
            aud={"essential": True, "value": self._settings.client_id},
            exp={"essential": True},
            iat={"essential": True},
            sub={"essential": True},
            nonce={"essential": True, "value": nonce},
        )
        try:
            claims = jwt.decode(id_token, KeySet.import_key_set(keys), algorithms=_ALGORITHMS).claims
            rules.validate(claims)
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise SignInFailed(f"the provider's ID token is not sound ({type(error).__name__}): start again") from error
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise SignInFailed("the provider's ID token was made for another application: start again")
        return Person(claims["sub"], str(claims.get("preferred_username") or claims.get("name") or claims["sub"]))

    def _client(self) -> AsyncOAuth2Client:
        secret = self._settings.client_secret
        return AsyncOAuth2Client(
            self._settings.client_id, secret, scope="openid profile", redirect_uri=self._redirect,
            token_endpoint_auth_method="client_secret_basic" if secret else "none", code_challenge_method="S256",
            timeout=_TIMEOUT,
        )  # fmt: skip

    async def _addresses(self, client: AsyncOAuth2Client) -> Addresses:
        if self._known is not None and time.monotonic() - self._known[0] < _TRUSTED_FOR:
            return self._known[1]
        said = await _get(client, self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        found = Addresses(*(str(said[name]) for name in names))
        if found.issuer.rstrip("/") != self._settings.issuer.rstrip("/"):
            raise SignInFailed("the provider calls itself otherwise than FATHOM_OIDC_ISSUER says: tell the operator")
        for address in (found.authorize, found.token, found.keys):
            if urlsplit(address).scheme != urlsplit(self._settings.issuer).scheme:
                raise SignInFailed("the provider names an address without TLS: tell the operator")
        self._known = (time.monotonic(), found)
        return found


async def _get(client: AsyncOAuth2Client, address: str) -> Any:  # JSON of the provider's
    answer = await client.request("GET", address, withhold_token=True)
    answer.raise_for_status()
    return answer.json()


class _translated:  # noqa: N801  (reads as a word in `with`)
    """Turn what can go wrong on the way to the provider into errors that say what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FathomError):
            return
        if isinstance(error, httpx2.HTTPError | TimeoutError):
            raise Busy("the provider does not answer: try to sign in again in a minute") from error
        if isinstance(error, AuthlibBaseError | ValueError | KeyError | TypeError):
            raise SignInFailed("the provider refused to say who you are: start again") from error


def _derive(key: str) -> bytes:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fathom sign-in").derive(key.encode())
    return base64.urlsafe_b64encode(made)


def safe_next(wanted: str) -> str:
    """Return the page of this server to go to after signing in; whatever could lead elsewhere leads to /account.

    Browsers read a backslash as a slash and drop tabs and line breaks, so only plain printable ASCII is taken.
    """
    plain = len(wanted) <= 500 and wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    if plain and wanted.startswith("/") and not wanted.startswith(("//", "/sign-")):
        return wanted
    return "/account"
