"""Sign-in with a provider: OpenID Connect, code flow with PKCE, state and nonce."""

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

ATTEMPT_SECONDS = 600
"""Seconds that a visitor may take to sign in at the provider."""

_ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Accepted signatures. Asymmetric only: `none` and HMAC under a public key are how ID tokens are forged."""

_LEEWAY = 60
_TIMEOUT = 10.0
_REDISCOVER = 3600.0
"""Seconds after which the provider's addresses are read again."""


class SignInFailed(FathomError):
    """Signing in failed; nobody is signed in."""

    status = 400


@dataclass(frozen=True, slots=True)
class SignInAttempt:
    """What a browser must bring back from the provider; kept in an encrypted cookie, so any process can check it."""

    state: str
    nonce: str
    verifier: str
    next: str


@dataclass(frozen=True, slots=True)
class SignedInPerson:
    """Who has signed in, according to the provider. `subject` never changes; a name can pass to somebody else."""

    subject: str
    """The provider's id of the person, without the issuer."""
    name: str


@dataclass(frozen=True, slots=True)
class _ProviderAddresses:
    """_ProviderAddresses in the provider's discovery document."""

    issuer: str
    authorize: str
    token: str
    keys: str


class Oidc:
    """The client of one provider; it keeps the provider's addresses for an hour, and nothing about people."""

    def __init__(self, settings: OidcSettings, service: ServiceSettings) -> None:
        """Make no request yet.

        Raises:
            BadInput: the settings have no address or no key.
        """
        if not service.url:
            raise BadInput("accounts need FATHOM_URL, the address under which visitors see this server")
        self._settings, self._redirect = settings, f"{service.url}/sign-in/callback"
        self._box = Fernet(_derive(check_key(service.secret_key)))
        self._known: tuple[float, _ProviderAddresses] | None = None

    def seal(self, attempt: SignInAttempt) -> str:
        """Encrypt an attempt into the value of a cookie."""
        return self._box.encrypt(json.dumps(asdict(attempt)).encode()).decode()

    def unseal(self, cookie: str) -> SignInAttempt:
        """Return the attempt in a cookie.

        Raises:
            SignInFailed: the cookie is missing, too old, or not from this server.
        """
        try:
            return SignInAttempt(
                **json.loads(self._box.decrypt(cookie.encode("utf-8", "replace"), ttl=ATTEMPT_SECONDS))
            )
        except (InvalidToken, TypeError, ValueError) as error:
            raise SignInFailed("signing in took too long, or started in another browser: start again") from error

    async def begin(self, next_page: str) -> tuple[str, SignInAttempt]:
        """Return the provider's address to send a visitor to, and the attempt to check afterwards.

        Raises:
            Busy: the provider does not answer.
        """
        state, nonce, verifier = (secrets.token_urlsafe(32) for _ in range(3))
        attempt = SignInAttempt(state, nonce, verifier, next_page)
        with _translated():
            async with self._client() as client:
                found = await self._addresses(client)
                address, _ = client.create_authorization_url(
                    found.authorize, state=attempt.state, nonce=attempt.nonce, code_verifier=attempt.verifier
                )
        return str(address), attempt

    async def finish(self, answer: Mapping[str, str], attempt: SignInAttempt) -> SignedInPerson:
        """Return who has signed in, from what the provider sent back.

        Raises:
            SignInFailed: the visitor declined, the answer belongs to another attempt, or the token is invalid.
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
                        raise SignInFailed("this answer comes from another provider: start again")
                    got = await client.fetch_token(
                        found.token, grant_type="authorization_code", code=answer.get("code", ""),
                        code_verifier=attempt.verifier,
                    )  # fmt: skip
                    keys = await _get(client, found.keys)
        return self._check(str(got.get("id_token", "")), keys, found.issuer, attempt.nonce)

    def _check(self, id_token: str, keys: Any, issuer: str, nonce: str) -> SignedInPerson:  # keys: JSON of a key set
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
            raise SignInFailed(f"the provider's ID token is invalid ({type(error).__name__}): start again") from error
        if claims.get("azp", self._settings.client_id) != self._settings.client_id:
            raise SignInFailed("the provider's ID token was made for another application: start again")
        return SignedInPerson(
            claims["sub"], str(claims.get("preferred_username") or claims.get("name") or claims["sub"])
        )

    def _client(self) -> AsyncOAuth2Client:
        secret = self._settings.client_secret
        return AsyncOAuth2Client(
            self._settings.client_id, secret, scope="openid profile", redirect_uri=self._redirect,
            token_endpoint_auth_method="client_secret_basic" if secret else "none", code_challenge_method="S256",
            timeout=_TIMEOUT,
        )  # fmt: skip

    async def _addresses(self, client: AsyncOAuth2Client) -> _ProviderAddresses:
        if self._known is not None and time.monotonic() - self._known[0] < _REDISCOVER:
            return self._known[1]
        said = await _get(client, self._settings.issuer.rstrip("/") + "/.well-known/openid-configuration")
        names = ("issuer", "authorization_endpoint", "token_endpoint", "jwks_uri")
        found = _ProviderAddresses(*(str(said[name]) for name in names))
        if found.issuer.rstrip("/") != self._settings.issuer.rstrip("/"):
            raise SignInFailed("the provider's issuer differs from FATHOM_OIDC_ISSUER: tell the operator")
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
    """Translates errors of HTTP and OAuth libraries into errors that say what to do."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, FathomError):
            return
        if isinstance(error, httpx2.HTTPError | TimeoutError):
            raise Busy("the provider does not answer: try to sign in again in a minute") from error
        if isinstance(error, AuthlibBaseError | ValueError | KeyError | TypeError):
            raise SignInFailed("the provider did not confirm who you are: start again") from error


def _derive(key: str) -> bytes:
    made = HKDF(algorithm=SHA256(), length=32, salt=None, info=b"fathom sign-in").derive(key.encode())
    return base64.urlsafe_b64encode(made)


def safe_next(wanted: str) -> str:
    """Return the page to open after signing in; anything that could lead to another site becomes /account.

    Browsers read a backslash as a slash and drop tabs and line breaks, so only plain printable ASCII is accepted.
    """
    plain = len(wanted) <= 500 and wanted.isascii() and wanted.isprintable() and "\\" not in wanted
    if plain and wanted.startswith("/") and not wanted.startswith(("//", "/sign-")):
        return wanted
    return "/account"
