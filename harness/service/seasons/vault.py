"""Encryption of a season's secret under the server's key."""

import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from fathom.harness.errors import BadInput

_NONCE = 12
_MIN_KEY = 32
"""Characters that FATHOM_SECRET_KEY must have."""


def check_key(key: str) -> str:
    """Return the server's key.

    Raises:
        BadInput: the key is missing or too short; says how to make one.
    """
    if len(key) < _MIN_KEY:
        what = "is not set" if not key else f"has {len(key)} characters, {_MIN_KEY} are needed"
        raise BadInput(f"FATHOM_SECRET_KEY {what}: `openssl rand -hex 32` makes one; keep it like a password")
    return key


def lock(secret: bytes, season: str, key: str) -> bytes:
    """Encrypt a secret with AES-GCM (NIST SP 800-38D) under a key for this season, by HKDF (RFC 5869)."""
    nonce = secrets.token_bytes(_NONCE)
    return nonce + _cipher(season, key).encrypt(nonce, secret, season.encode())


def unlock(locked: bytes, season: str, key: str) -> bytes:
    """Return the secret.

    Raises:
        BadInput: the key is wrong, or the bytes were changed.
    """
    try:
        return _cipher(season, key).decrypt(locked[:_NONCE], locked[_NONCE:], season.encode())
    except InvalidTag as error:
        raise BadInput(
            f"FATHOM_SECRET_KEY does not decrypt the secret of season {season}: set the key that was used to create it"
        ) from error


def _cipher(season: str, key: str) -> AESGCM:
    info = f"fathom season {season}".encode()
    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(check_key(key).encode()))
