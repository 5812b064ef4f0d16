"""Users, their logins and their API tokens; cookies and tokens are stored as hashes only."""

import datetime as dt
import secrets
from collections.abc import Collection
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest

from sqlalchemy import Engine, delete, insert, select, update
from sqlalchemy.orm import Session

from fathom.harness.db.audit import record
from fathom.harness.db.engine import insert_if_new, translate_errors, writing
from fathom.harness.db.schema.service import AuditRow, LoginRow, TokenRow, UserRow
from fathom.harness.db.write import storable, utc_now
from fathom.harness.errors import BadInput, NotSignedIn, UnknownSubmission
from fathom.server.web.actor import SCOPES

LOCAL = "local"
"""Subject of this machine's user, on a server without accounts."""

LOGIN_LASTS = dt.timedelta(days=14)
_PREFIX = "fth_"
_USED_EVERY = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class User:
    """A user; `name` is foreign text."""

    id: int
    subject: str
    name: str
    role: str
    banned_at: dt.datetime | None


@dataclass(frozen=True, slots=True)
class ApiToken:
    """What is stored of an API token: everything but the token itself."""

    id: int
    user_id: int
    name: str
    scopes: tuple[str, ...]
    created_at: dt.datetime
    expires_at: dt.datetime | None
    used_at: dt.datetime | None
    revoked_at: dt.datetime | None


_USER = (UserRow.id, UserRow.subject, UserRow.name, UserRow.role, UserRow.banned_at)
_TOKEN = (
    TokenRow.id, TokenRow.user_id, TokenRow.name, TokenRow.scopes, TokenRow.created_at, TokenRow.expires_at,
    TokenRow.used_at, TokenRow.revoked_at,
)  # fmt: skip


def hash_secret(secret: str) -> str:
    """Return the SHA-256 of a cookie or token, in hex; they hold 256 random bits, so no salt is needed."""
    return sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def local_user(db: Engine) -> User:
    """Return this machine's user, an admin; created at the first call."""
    with translate_errors(), Session(db) as session, session.begin():
        row = {"subject": LOCAL, "name": LOCAL, "role": "admin", "created_at": utc_now()}
        session.execute(insert_if_new(session.get_bind(), UserRow).values(**row))
        return User(*session.execute(select(*_USER).where(UserRow.subject == LOCAL)).one())


def sign_in(db: Engine, subject: str, name: str, *, admin: bool = False, by_name: bool = False) -> tuple[User, str]:
    """Store that somebody has signed in; return the user and the cookie of a new login.

    With `admin` the user becomes an admin. With `by_name` too, but only the first user who ever came with this name:
    a user name can be given up and taken by somebody else.

    Raises:
        NotSignedIn: the user is banned.
    """
    now, cookie = utc_now(), secrets.token_urlsafe(32)
    with writing(db) as session:
        row = {"subject": subject, "name": storable(name), "role": "user", "created_at": now}
        session.execute(insert_if_new(session.get_bind(), UserRow).values(**row))
        user = session.scalars(select(UserRow).where(UserRow.subject == subject).with_for_update()).one()
        if user.banned_at is not None:
            raise NotSignedIn("this account was banned by an admin of this board")
        user.name = storable(name)
        if user.role != "admin" and (admin or (by_name and _is_first(session, user.name))):
            user.role = "admin"
            subject_named = f"name/{user.name}" if not admin else f"user/{user.id}"
            record(session, "system", "admin by settings", subject_named, user=user.id)
        login = {"digest": hash_secret(cookie), "user_id": user.id, "created_at": now, "expires_at": now + LOGIN_LASTS}
        session.execute(insert(LoginRow), [login])
        record(session, f"user/{user.id}", "signed in", f"user/{user.id}")
        return User(user.id, user.subject, user.name, user.role, user.banned_at), cookie


def _is_first(session: Session, name: str) -> bool:
    return session.scalars(select(AuditRow.id).where(AuditRow.subject == f"name/{name}").limit(1)).first() is None


def user_of_login(db: Engine, cookie: str) -> User | None:
    """Return the user of a login cookie; None where it is unknown or expired, or the user is banned."""
    same = (LoginRow.digest == hash_secret(cookie), LoginRow.expires_at > utc_now(), UserRow.banned_at.is_(None))
    wanted = select(*_USER).join(LoginRow, LoginRow.user_id == UserRow.id).where(*same)
    with translate_errors(), Session(db) as session:
        row = session.execute(wanted).first()
        return None if row is None else User(*row)


def end_logins(db: Engine, user: int, cookie: str | None = None) -> int:
    """End one login of a user, or all of them; return how many."""
    mine = [LoginRow.user_id == user] + ([] if cookie is None else [LoginRow.digest == hash_secret(cookie)])
    with translate_errors(), Session(db) as session, session.begin():
        ended = session.scalars(delete(LoginRow).where(*mine).returning(LoginRow.digest)).all()
        return len(ended)


def delete_expired_logins(db: Engine) -> int:
    """Delete expired logins; return how many. A background task."""
    with translate_errors(), Session(db) as session, session.begin():
        over = delete(LoginRow).where(LoginRow.expires_at < utc_now()).returning(LoginRow.digest)
        return len(session.scalars(over).all())


def create_token(
    db: Engine, user: int, name: str, scopes: Collection[str], lasts: dt.timedelta | None = None
) -> tuple[ApiToken, str]:
    """Create an API token; return its record, and the token itself, which cannot be read again."""
    now, token = utc_now(), _PREFIX + secrets.token_urlsafe(32)
    row = {
        "user_id": user, "name": storable(name), "digest": hash_secret(token), "scopes": sorted(scopes),
        "created_at": now, "expires_at": None if lasts is None else now + lasts,
    }  # fmt: skip
    with translate_errors(), Session(db) as session, session.begin():
        number = session.scalars(insert(TokenRow).values(**row).returning(TokenRow.id)).one()
        record(session, f"user/{user}", "made a token", f"token/{number}", name=storable(name), scopes=sorted(scopes))
        return _token(session.execute(select(*_TOKEN).where(TokenRow.id == number)).one()), token


def _token(row: object) -> ApiToken:
    number, user, name, scopes, *times = row  # type: ignore[misc]  # a row of _TOKEN
    return ApiToken(number, user, name, tuple(scopes), *times)  # type: ignore[has-type]  # as above


def find_token(db: Engine, token: str) -> tuple[User, ApiToken]:
    """Return a token's user and record, and store that it was used.

    Raises:
        NotSignedIn: it is unknown, revoked or expired, or its user is banned.
    """
    digest, now = hash_secret(token), utc_now()
    wanted = select(TokenRow.digest, *_USER, *_TOKEN).join(UserRow, UserRow.id == TokenRow.user_id)
    with translate_errors(), Session(db) as session, session.begin():
        row = session.execute(wanted.where(TokenRow.digest == digest)).first()
        if row is None or not compare_digest(row[0], digest):
            raise NotSignedIn("this token is not known here: create one on your account page")
        user, found = User(*row[1:6]), _token(row[6:])
        if found.revoked_at is not None or (found.expires_at is not None and found.expires_at <= now):
            raise NotSignedIn("this token is revoked or expired: create a new one on your account page")
        if user.banned_at is not None:
            raise NotSignedIn("this account was banned by an admin of this board")
        if found.used_at is None or now - found.used_at > _USED_EVERY:
            session.execute(update(TokenRow).where(TokenRow.id == found.id).values(used_at=now))
        return user, found


def list_tokens(db: Engine, user: int) -> list[ApiToken]:
    """Return a user's tokens, newest first."""
    wanted = select(*_TOKEN).where(TokenRow.user_id == user).order_by(TokenRow.id.desc())
    with translate_errors(), Session(db) as session:
        return [_token(row) for row in session.execute(wanted)]


def revoke_token(db: Engine, user: int, token: int) -> None:
    """Revoke a user's token.

    Raises:
        UnknownSubmission: the user has no such token.
    """
    mine = (TokenRow.id == token, TokenRow.user_id == user)
    with translate_errors(), Session(db) as session, session.begin():
        found = session.scalars(
            update(TokenRow).where(*mine).values(revoked_at=utc_now()).returning(TokenRow.id)
        ).first()
        if found is None:
            raise UnknownSubmission(f"you have no token {token}: your account page lists them")
        record(session, f"user/{user}", "revoked a token", f"token/{token}")


def check_scopes(wanted: Collection[str]) -> list[str]:
    """Return the scopes without blanks and duplicates.

    Raises:
        BadInput: no scope, or an unknown one.
    """
    names = sorted({name.strip() for name in wanted if name.strip()})
    if not names or any(name not in SCOPES for name in names):
        raise BadInput(f"no such scopes: {', '.join(names)[:100]!r}; name some of {', '.join(SCOPES)}")
    return names


def set_role(db: Engine, subject: str, role: str, actor: str = "operator") -> User:
    """Make a user an admin, or an admin a user.

    Raises:
        UnknownSubmission: there is no such user.
    """
    user = find_user(db, subject)
    with translate_errors(), Session(db) as session, session.begin():
        session.execute(update(UserRow).where(UserRow.id == user.id).values(role=role))
        record(session, actor, f"made {role}", f"user/{user.id}")
    return find_user(db, f"~{user.id}")


def find_user(db: Engine, subject: str) -> User:
    """Return a user by subject, or by ~ and number.

    Raises:
        UnknownSubmission: there is no such user.
    """
    number = subject[1:] if subject.startswith("~") else ""
    same = UserRow.id == int(number) if number.isascii() and number.isdigit() else UserRow.subject == subject
    with translate_errors(), Session(db) as session:
        row = session.execute(select(*_USER).where(same)).first()
        if row is None:
            raise UnknownSubmission(f"there is no user {subject[:80]!r}: `fathom user list` lists all")
        return User(*row)


def list_users(db: Engine, limit: int = 200, offset: int = 0) -> list[User]:
    """Return users, newest first."""
    wanted = select(*_USER).order_by(UserRow.id.desc()).limit(limit).offset(offset)
    with translate_errors(), Session(db) as session:
        return [User(*row) for row in session.execute(wanted)]
